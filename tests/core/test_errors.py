"""What run_main says to who stops a script: only what is so."""

import pytest

from clarifyvlm.errors import run_main


@pytest.mark.parametrize("continues", [False, True])
def test_ctrl_c_promises_what_the_script_does(continues, capsys):
    """A command that writes nothing and says that what was written is kept; one that goes on from where it was, and
    leaves its user to start from nothing."""

    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        run_main(main, continues=continues)
    said = capsys.readouterr().err
    assert ended.value.code == 130 and said.startswith("stopped") and said.count("\n") == 1
    assert ("continues" in said) == ("kept" in said) == continues
    assert continues or said == "stopped\n"
    assert not continues or "without --overwrite" in said  # with it, the same command begins anew
