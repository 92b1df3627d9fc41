"""Lets the Temporal SDK download the dev server: `python -m runtime.embedded.sdk_download FOLDER VERSION`.

A program of its own, because the SDK cannot give up a download once begun; its caller ends the process.
"""

import asyncio
import sys

from temporalio.testing import WorkflowEnvironment


async def download(folder: str, version: str) -> None:
    """Downloads the program into `folder` by starting it once.

    Raises:
        RuntimeError: The download was refused or the program did not start.
    """
    # The SDK declares `search_attributes` without its type argument.
    environment = await WorkflowEnvironment.start_local(  # pyright: ignore[reportUnknownMemberType]
        download_dest_dir=folder, dev_server_download_version=version
    )
    await environment.shutdown()


if __name__ == "__main__":
    asyncio.run(download(sys.argv[1], sys.argv[2]))
