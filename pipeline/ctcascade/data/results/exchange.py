"""What was written for other systems: the record that says what the files were made from, and what they hold."""

from typing import ClassVar

from pydantic import Field

from ctcascade.data.results.base import ResultFile, Text


class Exchanged(ResultFile):
    """Files for other systems, which themselves have no place for what made them.

    Its provenance holds the checksums of the results that they were made from and of the files themselves.
    """

    file_name: ClassVar[str] = "origin.json"

    about: Text = Field(description="the patient, or the study, that the files are about")
    files: dict[Text, Text] = Field(description="name of each file, by what it is")
