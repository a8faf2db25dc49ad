"""A platform that the machine does not have is refused before anything is made."""

from __future__ import annotations

import logging

import jax
import pytest

from clusterlm_jax import config, experiments
from clusterlm_jax.experiments import environment, stages
from clusterlm_jax.records import UserError
from clusterlm_jax.workdir import WorkDir

# What jax raises: for cuda where its plugin is not installed, and for tpu where there is none.
NO_PLUGIN = AssertionError()
NO_DEVICE = RuntimeError("Unable to initialize backend 'tpu': no libtpu.so (set JAX_PLATFORMS='' to choose)")


@pytest.fixture(params=[NO_PLUGIN, NO_DEVICE], ids=["no plugin", "no device"])
def reason(monkeypatch, request) -> str:
    def none() -> None:
        raise request.param

    monkeypatch.setattr(jax, "devices", none)
    return "no plugin for it" if request.param is NO_PLUGIN else "no libtpu.so; set it to cpu"


@pytest.mark.parametrize("experiment", sorted({*experiments.names()} - {"states"}))  # which computes on no device
def test_a_device_that_is_not_there(tmp_path, reason, experiment):
    with pytest.raises(UserError, match="jax finds no such device here") as refused:
        stages.run(config.build(config.default(experiment)), WorkDir(tmp_path / "run"))
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_device_that_is_there(tmp_path):
    environment.check_device(None, WorkDir(tmp_path / "run"))


def test_why_a_plugin_failed_is_part_of_the_sentence(tmp_path, monkeypatch, caplog):
    """jax logs it with a traceback. Breaks if that is printed, or if the sentence knows of no reason."""

    def failing() -> None:
        try:
            raise RuntimeError("cuInit(0) failed.\nmore words")
        except RuntimeError:
            logging.getLogger("jax._src.xla_bridge").exception("Jax plugin configuration error")
        raise NO_PLUGIN

    monkeypatch.setattr(jax, "devices", failing)
    with pytest.raises(UserError, match=r"no such device here: cuInit\(0\) failed; set it to cpu"):
        environment.check_device(None, WorkDir(tmp_path / "run"))
    assert not caplog.records
