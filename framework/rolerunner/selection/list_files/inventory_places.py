"""The places of the files of an S3 Inventory."""

from rolerunner.model import S3Uri


def find_data_prefix(manifest: S3Uri) -> S3Uri:
    """Returns the prefix of the files of an S3 Inventory, ``data/`` beside its manifests' folders.

    The manifest is PREFIX/BUCKET/CONFIGURATION/DATE/manifest.json (S3 user guide).
    """
    folders = manifest.key.split("/")[:-2]
    return S3Uri(manifest.bucket, "/".join([*folders, "data", ""]))
