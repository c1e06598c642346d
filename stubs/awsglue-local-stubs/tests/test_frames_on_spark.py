"""Frames on a real local Spark: skipped without pyspark."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark")

from pyspark.sql import SparkSession

from awsglue.context import GlueContext
from awsglue.dynamicframe import DynamicFrame, DynamicFrameCollection
from awsglue.local import LocalGlueError
from awsglue.transforms import (
    ApplyMapping,
    Coalesce,
    DropFields,
    DropNullFields,
    Filter,
    Join,
    Map,
    MapToCollection,
    Relationalize,
    RenameField,
    Repartition,
    ResolveChoice,
    SelectFields,
    SelectFromCollection,
    SplitFields,
    Unbox,
    Union,
    UnnestFrame,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from awsglue.gluetypes import DynamicRecord

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ORDERS = "id long, item string, price double, address struct<city:string,zip:string>"
ROWS: list[Any] = [
    (1, "book", 9.5, ("Bern", "3000")),
    (2, "pen", 1.0, ("Basel", "4000")),
    (3, "lamp", 30.0, None),
]


@pytest.fixture(scope="module")
def glue() -> Iterator[GlueContext]:
    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("FATAL")
    yield GlueContext(session.sparkContext)
    session.stop()


@pytest.fixture
def orders(glue: GlueContext) -> DynamicFrame:
    return DynamicFrame.fromDF(glue.createDataFrame(ROWS, ORDERS), glue, "orders")


def rows(frame: DynamicFrame) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in frame.toDF().collect()]


def types(frame: DynamicFrame) -> str:
    return str(frame.schema().simpleString())


def test_a_data_frame_comes_back(glue: GlueContext, orders: DynamicFrame) -> None:
    assert orders.toDF().collect() == glue.createDataFrame(ROWS, ORDERS).collect()
    assert (orders.count(), orders.name) == (3, "orders")
    assert glue.spark_session.version == glue.sql("SELECT version()").first()[0].split(" ")[0]


def test_it_is_printed(orders: DynamicFrame, capsys: pytest.CaptureFixture[str]) -> None:
    orders.show(1)
    orders.printSchema()
    printed = capsys.readouterr().out
    assert '{"id":1,"item":"book","price":9.5,"address":{"city":"Bern","zip":"3000"}}' in printed
    assert "|-- city: string" in printed


def test_fields_are_selected_and_dropped(orders: DynamicFrame) -> None:
    selected = orders.select_fields(["item", "address.city"])
    assert types(selected) == "struct<item:string,address:struct<city:string>>"
    assert rows(selected)[0] == {"item": "book", "address": {"city": "Bern"}}
    dropped = DropFields.apply(frame=orders, paths=["price", "address.zip", "absent"])
    assert types(dropped) == "struct<id:bigint,item:string,address:struct<city:string>>"
    assert types(SelectFields.apply(orders, ["id"])) == "struct<id:bigint>"
    with pytest.raises(LocalGlueError, match="no field 'prise'; its fields are id, item, price"):
        orders.select_fields(["prise"])


def test_fields_are_renamed(orders: DynamicFrame) -> None:
    assert types(orders.rename_field("item", "`the.item`")).startswith("struct<id:bigint,the.item:")
    back = orders.rename_field("item", "`the.item`").rename_field("`the.item`", "item")
    assert rows(back) == rows(orders)
    moved = RenameField.apply(orders, "address.zip", "zip")
    assert rows(moved)[0] == {
        "id": 1,
        "item": "book",
        "price": 9.5,
        "address": {"city": "Bern"},
        "zip": "3000",
    }
    nested = orders.rename_field("item", "goods.name").rename_field("price", "address.price")
    assert rows(nested)[1]["goods"] == {"name": "pen"}
    assert rows(nested)[1]["address"] == {"city": "Basel", "zip": "4000", "price": 1.0}


def test_records_are_filtered(orders: DynamicFrame) -> None:
    def is_swiss(record: DynamicRecord) -> bool:
        return record.address is not None and record["address"]["city"] == record.address.city

    assert [row["id"] for row in rows(orders.filter(is_swiss))] == [1, 2]
    assert Filter.apply(orders, f=lambda record: record["price"] > 100).count() == 0
    assert types(orders.filter(is_swiss)) == types(orders)


def test_records_are_mapped(orders: DynamicFrame) -> None:
    def change(record: DynamicRecord) -> DynamicRecord:
        record["total"] = record["price"] * 2
        record["tags"] = [record["item"]]
        record["day"] = dt.date(2026, 1, 31)
        record["big"] = Decimal("1.5")
        record["none"] = None
        if record["id"] == 3:
            record["only"] = {"here": True}
        del record["item"]
        return record

    mapped = Map.apply(frame=orders, f=change)
    assert types(mapped) == (
        "struct<id:bigint,price:double,address:struct<city:string,zip:string>,total:double,"
        "tags:array<string>,day:date,big:decimal(38,18),none:string,only:struct<here:boolean>>"
    )
    assert rows(mapped)[2] == {
        "id": 3,
        "price": 30.0,
        "address": None,
        "total": 60.0,
        "tags": ["lamp"],
        "day": dt.date(2026, 1, 31),
        "big": Decimal("1.5"),
        "none": None,
        "only": {"here": True},
    }


def test_an_integer_that_no_longer_fits_is_a_long(glue: GlueContext) -> None:
    frame = DynamicFrame.fromDF(glue.createDataFrame([(1,), (2,)], "n int"), glue)
    assert types(frame.map(lambda record: {"n": record["n"] + 1})) == "struct<n:int>"
    assert rows(frame.map(lambda record: {"n": record["n"] * 2**40}))[0] == {"n": 2**40}


def test_a_map_of_nothing_keeps_the_schema(orders: DynamicFrame) -> None:
    nothing = orders.filter(lambda _: False)
    assert types(nothing.map(lambda record: record)) == types(orders)


def test_different_types_of_a_field_are_refused(orders: DynamicFrame) -> None:
    def change(record: DynamicRecord) -> dict[str, Any]:
        return {"id": record["id"] if record["id"] == 1 else str(record["id"])}

    with pytest.raises(Exception, match=r"'id' is (bigint|string) in some records and"):
        orders.map(change)


def test_a_mapping_is_applied(orders: DynamicFrame) -> None:
    mapped = ApplyMapping.apply(
        frame=orders,
        mappings=[
            ("id", "long", "order.id", "string"),
            ("price", "double", "order.price", "decimal(10,2)"),
            ("address.city", "string", "`the.city`", "string"),
            ("address", "struct", "address", "struct"),
        ],
    )
    assert types(mapped) == (
        "struct<order:struct<id:string,price:decimal(10,2)>,the.city:string,"
        "address:struct<city:string,zip:string>>"
    )
    assert rows(mapped)[0]["order"] == {"id": "1", "price": Decimal("9.50")}
    assert orders.applyMapping([("id", "long", "id", "int")]).count() == 3


def test_choices_are_cast(orders: DynamicFrame) -> None:
    cast = orders.resolveChoice(specs=[("price", "cast:int"), ("address.zip", "cast:long")])
    assert rows(cast)[0]["price"] == 9
    assert rows(cast)[0]["address"] == {"city": "Bern", "zip": 3000}
    for same in (
        ResolveChoice.apply(orders, choice="make_cols"),
        orders.resolveChoice(specs=[("price", "make_struct"), ("id", "project:long")]),
        orders.resolveChoice(),
    ):
        assert types(same) == types(orders)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"specs": [("id", "cast:int")], "choice": "make_cols"}, "specs or choice, not both"),
        ({"choice": "match_catalog", "database": "d", "table_name": "t"}, "Glue Data Catalog"),
        ({"specs": [("id", "project:string")]}, "use cast:string"),
        ({"specs": [("id", "cast")]}, "exists in Glue alone"),
        ({"specs": [("id", "guess:int")]}, "has no action 'guess:int'"),
        ({"specs": [("no", "cast:int")]}, "no field 'no'"),
    ],
)
def test_other_choices_are_refused(
    orders: DynamicFrame, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(LocalGlueError, match=message):
        orders.resolveChoice(**arguments)


def test_frames_are_joined(glue: GlueContext, orders: DynamicFrame) -> None:
    schema = "order struct<id:long>, item string, amount int"
    sold = DynamicFrame.fromDF(glue.createDataFrame([((2,), "x", 5)], schema), glue)
    joined = orders.join(["id"], ["order.id"], sold)
    assert [(row["id"], row[".item"], row["amount"]) for row in rows(joined)] == [(2, "x", 5)]
    assert joined.toDF().columns[:2] == ["id", "item"]
    assert Join.apply(orders, orders, "id", "id").count() == 3
    with pytest.raises(LocalGlueError, match="as many keys"):
        orders.join(["id"], [], sold)
    with pytest.raises(LocalGlueError, match="no field 'ids'"):
        orders.join(["id"], ["ids"], sold)


def test_frames_are_united(glue: GlueContext, orders: DynamicFrame) -> None:
    more = DynamicFrame.fromDF(glue.createDataFrame([(9, "new")], "id long, extra string"), glue)
    united = Union.apply(orders, more)
    assert united.count() == 4
    assert rows(united)[3] == {
        "id": 9,
        "item": None,
        "price": None,
        "address": None,
        "extra": "new",
    }


def test_partitions_change(orders: DynamicFrame) -> None:
    assert Repartition.apply(orders, 3).getNumPartitions() == 3
    assert orders.repartition(4).coalesce(1).getNumPartitions() == 1
    assert Coalesce.apply(orders, 5, shuffle=True).getNumPartitions() == 5


def test_fields_without_values_are_dropped(glue: GlueContext) -> None:
    data = glue.createDataFrame(
        [(1, None, None), (2, None, "x")], "id int, `no.ne` int, some string"
    )
    frame = DynamicFrame.fromDF(data, glue)
    assert types(DropNullFields.apply(frame)) == "struct<id:int,some:string>"
    nothing = frame.filter(lambda _: False)
    assert types(DropNullFields.apply(nothing)) == types(frame)


def test_collections_hold_frames(orders: DynamicFrame) -> None:
    parts = SplitFields.apply(orders, ["id", "address.zip"], "left", "right")
    assert isinstance(parts, DynamicFrameCollection)
    assert (list(parts.keys()), len(parts)) == (["left", "right"], 2)
    left = SelectFromCollection.apply(dfc=parts, key="left")
    assert types(left) == "struct<id:bigint,address:struct<zip:string>>"
    assert types(parts["right"]) == "struct<item:string,price:double,address:struct<city:string>>"
    mapped = MapToCollection.apply(parts, lambda frame, _: frame.coalesce(1), "ctx")
    assert [each.getNumPartitions() for each in mapped.values()] == [1, 1]
    assert list(SplitFields.apply(orders, ["id"]).keys()) == ["orders1", "orders2"]
    with pytest.raises(LocalGlueError, match="no frame 'middle'; it has left, right"):
        parts.select("middle")


@pytest.mark.parametrize("kind", ["json", "parquet"])
def test_files_come_back(
    kind: str, glue: GlueContext, orders: DynamicFrame, tmp_path: Path
) -> None:
    place = str(tmp_path / "out")
    written = glue.write_dynamic_frame.from_options(
        frame=orders, connection_type="s3", connection_options={"path": place}, format=kind
    )
    assert written is orders
    back = glue.create_dynamic_frame.from_options("s3", {"paths": [place]}, format=kind)
    expected = sorted(rows(orders), key=lambda row: row["id"])
    read = sorted(rows(back), key=lambda row: row["id"])
    assert read == expected
    orders.write("file", {"path": place}, kind)
    assert glue.create_data_frame.from_options("file", {"path": place}, kind).count() == 6


def test_csv_files_come_back(glue: GlueContext, tmp_path: Path) -> None:
    data = glue.createDataFrame([("1", 'say "hi", you'), ("2", "a\\b")], "id string, text string")
    frame = DynamicFrame.fromDF(data.coalesce(1), glue)
    place = {"path": str(tmp_path / "out")}
    sink = glue.getSink("file", **place)
    sink.setFormat("csv", separator="|")
    assert sink.write(frame) is frame
    source = glue.getSource("file", **place)
    source.setFormat("csv", separator="|", withHeader=True)
    assert rows(source.getFrame()) == rows(frame)
    source.setFormat("csv", separator="|", skipFirst=True)
    assert types(source.getFrame()) == "struct<col0:string,col1:string>"
    assert source.getDataFrame().count() == 2
    source.setFormat("csv", separator="|")
    assert source.getDataFrame().count() == 3


def test_partitions_are_written_and_chosen(
    glue: GlueContext, orders: DynamicFrame, tmp_path: Path
) -> None:
    place = str(tmp_path / "out")
    glue.write_dynamic_frame.from_options(
        frame=orders.select_fields(["id", "item"]),
        connection_type="s3",
        connection_options={"path": place, "partitionKeys": ["item"], "compression": "gzip"},
        format="json",
    )
    assert [path.suffix for path in (tmp_path / "out/item=pen").glob("*.gz")] == [".gz"]
    read = glue.create_dynamic_frame.from_options(
        "s3", {"path": place}, "json", push_down_predicate="item = 'pen'"
    )
    assert rows(read) == [{"id": 2, "item": "pen"}]
    flat = glue.create_dynamic_frame.from_options("s3", {"path": place, "recurse": True}, "json")
    assert types(flat) == "struct<id:bigint>"


def test_a_collection_is_written(glue: GlueContext, orders: DynamicFrame, tmp_path: Path) -> None:
    place = {"path": str(tmp_path / "out")}
    parts = DynamicFrameCollection({"a": orders, "b": orders}, glue)
    assert glue.write_from_options(parts, "file", place, "parquet") is parts
    assert glue.create_dynamic_frame_from_options("file", place, "parquet").count() == 6


def test_errors_of_files_say_what_to_do(
    glue: GlueContext, orders: DynamicFrame, tmp_path: Path
) -> None:
    absent = str(tmp_path / "absent")
    with pytest.raises(LocalGlueError, match=absent):
        glue.create_dynamic_frame.from_options("file", {"path": absent}, "json")
    with pytest.raises(LocalGlueError, match=r"no connector for s3: set spark\.jars"):
        glue.create_dynamic_frame.from_options("s3", {"path": "s3://bucket/a/"}, "json")
    with pytest.raises(LocalGlueError, match="no connector for s3"):
        orders.write("s3", {"path": "s3://bucket/a/"}, "json")
    with pytest.raises(LocalGlueError, match="there is no path"):
        glue.create_dynamic_frame.from_options("s3", format="json")


def test_what_needs_glue_is_refused(glue: GlueContext, orders: DynamicFrame) -> None:
    catalog = r"\(database='d', table_name='t'\) needs the Glue Data Catalog .* use from_options"
    for call in (
        lambda: glue.create_dynamic_frame.from_catalog("d", "t"),
        lambda: glue.create_data_frame.from_catalog(database="d", table_name="t"),
        lambda: glue.write_dynamic_frame.from_catalog(orders, "d", "t"),
        lambda: glue.write_data_frame.from_catalog(orders.toDF(), "d", "t"),
        lambda: glue.getSink("s3").setCatalogInfo("d", "t"),
        lambda: glue.purge_table("d", "t"),
    ):
        with pytest.raises(LocalGlueError, match=catalog):
            call()
    for call, name in (
        (lambda: glue.write_dynamic_frame.from_jdbc_conf(orders, "db"), "connection 'db'"),
        (lambda: glue.purge_s3_path("s3://b/a/"), "purge_s3_path"),
        (lambda: Relationalize.apply(orders, "/tmp/x", "root"), "relationalize"),
        (lambda: Unbox.apply(orders, "item", "json"), "unbox"),
        (lambda: UnnestFrame.apply(orders), "unnest"),
    ):
        with pytest.raises(LocalGlueError, match=f"{name}.* is not available in the local awsglue"):
            call()


def test_messages_are_logged(glue: GlueContext, caplog: pytest.LogCaptureFixture) -> None:
    logger = glue.get_logger()
    with caplog.at_level("DEBUG", "awsglue"):
        for write in (logger.debug, logger.info, logger.warn, logger.error):
            write("100 % done")
    assert [record.levelname for record in caplog.records] == ["DEBUG", "INFO", "WARNING", "ERROR"]
    assert {record.getMessage() for record in caplog.records} == {"100 % done"}
