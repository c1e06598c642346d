"""Fields that compress objects as they are stored, and decompress them as they are downloaded."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Optional

from pydantic import Field

from rolerunner.actions.existing_objects import COMPARES
from rolerunner.model import S3Uri
from rolerunner.spec.expressions import is_template
from rolerunner.spec.field_types import DYNAMIC, Bytes, StrictModel
from rolerunner.storage.codecs import SUFFIXES, check_installed
from rolerunner.storage.compression import Compression
from rolerunner.storage.decompression import MAX_RATIO, Decompression

_TYPES = {"gzip": "application/gzip", "zstd": "application/zstd"}


def list_codec_extras(value: Any, *with_zstd: str) -> tuple[str, ...]:
    """Returns the extra for zstd if a field has one of these values, or is an expression."""
    return ("zstd",) if value in with_zstd or is_template(str(value)) else ()


class CompressFields(StrictModel):
    """Fields that compress what is stored."""

    compress: Optional[Annotated[Literal["gzip", "zstd"], DYNAMIC]] = Field(
        None,
        description="Compress each object as it is stored: gzip or zstd.",
        examples=["gzip"],
    )
    compress_level: Optional[Annotated[int, Field(ge=0, le=22), DYNAMIC]] = Field(
        None,
        description="The level of compression: gzip 0 to 9 (6 by default), zstd 1 to 22 (3).",
        examples=[9],
    )
    compress_as: Annotated[Literal["suffix", "content_encoding"], DYNAMIC] = Field(
        "suffix",
        description=(
            "How compressed objects are marked: suffix adds .gz or .zst to the key,"
            " content_encoding keeps the key and sets the Content-Encoding header."
        ),
        examples=["content_encoding"],
    )

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if the step compresses, or may compress, with it."""
        return list_codec_extras(fields.get("compress"), "zstd")

    @classmethod
    def list_certain_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if the step compresses with it."""
        return ("zstd",) if fields.get("compress") == "zstd" else ()

    def check_compression(self) -> None:
        """Raises ValueError for fields that contradict each other."""
        level, codec = self.compress_level, self.compress
        if codec is None:
            if level is not None or self.compress_as != "suffix":
                raise ValueError("'compress_level' and 'compress_as' need 'compress'")
            return
        if isinstance(level, int) and codec in _TYPES:
            low, high = (0, 9) if codec == "gzip" else (1, 22)
            if not low <= level <= high:
                raise ValueError(f"'compress_level' of {codec} is {low} to {high}, not {level}")
        exists = getattr(self, "if_exists", None)
        if exists in COMPARES:
            raise ValueError(
                f"'{exists}' cannot compare compressed objects with their sources:"
                " use 'if_exists: skip' or overwrite"
            )
        if getattr(self, "delete_extra", None) is True and self.compress_as != "content_encoding":
            raise ValueError(
                "'delete_extra' cannot be combined with 'compress', which changes the keys:"
                " set 'compress_as: content_encoding'"
            )
        if self.compress_as == "content_encoding" and getattr(self, "content_encoding", None):
            raise ValueError(
                "'compress_as: content_encoding' sets that header: leave out 'content_encoding'"
            )

    def compression(self) -> Optional[Compression]:
        """Returns how objects are compressed. Raises StepError if that needs what is missing."""
        if self.compress is None:
            return None
        check_installed(self.compress)
        return Compression.of(self.compress, self.compress_level)

    def compressed_target(self, target: S3Uri, *, is_named: bool = False) -> S3Uri:
        """Returns the target with the suffix that marks it.

        A single object whose name has it already (``is_named``) keeps its name.
        """
        if self.compress is None or self.compress_as != "suffix":
            return target
        suffix = SUFFIXES[self.compress]
        if is_named and target.key.endswith(suffix):
            return target
        return S3Uri(target.bucket, target.key + suffix)

    def compression_options(self) -> dict[str, Any]:
        """Returns the options of PutObject that mark compressed objects."""
        if self.compress is None:
            return {}
        if self.compress_as == "content_encoding":
            return {"ContentEncoding": self.compress}
        return {"ContentType": _TYPES[self.compress]}


class DecompressFields(StrictModel):
    """Fields that decompress what is downloaded."""

    decompress: Optional[Annotated[Literal["gzip", "zstd", "bz2", "xz", "auto"], DYNAMIC]] = Field(
        None,
        description=(
            "Decompress objects whose key ends with .gz, .zst, .bz2 or .xz, and drop the suffix"
            " from the file's name. auto takes all four, and what has a Content-Encoding of gzip"
            " or zstd."
        ),
        examples=["gzip", "auto"],
    )
    max_bytes: Optional[Bytes] = Field(
        None,
        description="Maximum number of bytes that one object may become when decompressed.",
        examples=["50GB"],
    )
    max_ratio: Optional[Annotated[int, Field(ge=1), DYNAMIC]] = Field(
        None,
        description=(
            f"How many times its own size an object may become when decompressed; {MAX_RATIO} by"
            " default. The first 16 MiB do not count."
        ),
        examples=[1000],
    )

    @classmethod
    def list_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if the step may decompress with it, as ``auto`` does."""
        return list_codec_extras(fields.get("decompress"), "zstd", "auto")

    @classmethod
    def list_certain_extras(cls, fields: Mapping[str, Any]) -> tuple[str, ...]:
        """Returns the extra for zstd if the step decompresses with it alone."""
        return ("zstd",) if fields.get("decompress") == "zstd" else ()

    def check_decompression(self) -> None:
        """Raises ValueError for fields that contradict each other."""
        if self.decompress is None:
            if self.max_bytes is not None or self.max_ratio is not None:
                raise ValueError("'max_bytes' and 'max_ratio' need 'decompress'")
            return
        exists = getattr(self, "if_exists", None)
        if exists in COMPARES:
            raise ValueError(
                f"'{exists}' cannot compare decompressed files: use 'if_exists: skip' or overwrite"
            )

    def decompression(self, key: str) -> Optional[Decompression]:
        """Returns how the object of a key is decompressed; None if it stays as it is."""
        chosen = self.decompress
        if chosen is None:
            return None
        codec = self._codec_of(key) or ("" if chosen == "auto" else None)
        if codec is None:
            return None
        return Decompression(codec, self.max_bytes, self.max_ratio or MAX_RATIO)

    def decompressed_name(self, name: str) -> str:
        """Returns the name of the file that an object becomes."""
        codec = self._codec_of(name)
        return name.removesuffix(SUFFIXES[codec]) if codec else name

    def _codec_of(self, name: str) -> Optional[str]:
        chosen = self.decompress
        among = SUFFIXES if chosen == "auto" else [chosen] if chosen is not None else []
        return next((each for each in among if name.endswith(SUFFIXES[each])), None)
