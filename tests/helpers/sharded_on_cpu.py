"""Runs a training script with FSDP or DeepSpeed on CPUs, which accelerate offers on GPUs only: it is told that the
processes are of the GPU kind, on the device cpu, with gloo between them. What FSDP and DeepSpeed then do is real."""

import os
import runpy
import sys

os.environ["ACCELERATE_TORCH_DEVICE"] = os.environ["DS_ACCELERATOR"] = "cpu"

import torch.distributed  # noqa: E402
from accelerate import state  # noqa: E402
from accelerate.utils import DistributedType  # noqa: E402

start = state.PartialState.__init__


def start_on_cpu(self, cpu=False, **kwargs):
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo")
    kwargs.pop("backend", None)
    start(self, **kwargs)


state.PartialState._prepare_backend = lambda *_: ("gloo", DistributedType.MULTI_GPU)
state.PartialState.__init__ = start_on_cpu

sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
