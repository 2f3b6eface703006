"""SIGINT and SIGTERM: recorded once, given back afterwards."""

import os
import signal
import threading

import pytest

from striate.training.signals import StopSignals


def send(number):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_recorded_and_handlers_come_back(number):
    before = signal.getsignal(number)
    with StopSignals() as signals:
        assert signals.received is None
        send(number)
        assert signals.received == number
    assert signal.getsignal(number) is before


def test_a_second_ctrl_c_stops_at_once():
    with StopSignals():
        send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)


def test_ctrl_c_after_sigterm_waits_for_the_save():
    with StopSignals() as signals:
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert signals.received == signal.SIGINT


def test_the_error_says_how_to_go_on_in_words_that_can_be_pasted():
    signals = StopSignals()
    signals.received = signal.SIGTERM
    error = signals.error("runs/my run")
    assert (error.status, error.kind) == (143, "terminated")
    assert error.hint == "go on with: striate resume 'runs/my run'"
    signals.received = signal.SIGINT
    assert (signals.error("r").status, signals.error("r").kind) == (130, "interrupted")


def test_in_another_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with StopSignals() as signals:
            seen.append((signal.getsignal(signal.SIGTERM), signals.received))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
