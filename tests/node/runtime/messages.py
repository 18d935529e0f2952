"""Message classes of a .proto file, compiled by protoc when a test starts.

Only the descriptor passes through a pipe: no generated file is kept anywhere.
"""
import os
import subprocess
import types

from google.protobuf import descriptor_pb2, message_factory


def load(name):
    """The messages of the file of that name beside this one, as attributes."""
    here = os.path.dirname(os.path.abspath(__file__))
    compiled = subprocess.run(["protoc", "-I", here, "--descriptor_set_out=/dev/stdout", os.path.join(here, name)],
                              check=True, stdout=subprocess.PIPE).stdout
    files = descriptor_pb2.FileDescriptorSet.FromString(compiled).file
    classes = message_factory.GetMessages(files)
    return types.SimpleNamespace(**{full.rsplit(".", 1)[-1]: made for full, made in classes.items()})
