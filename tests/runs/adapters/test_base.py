"""What all adapters read by: the first kilobytes of a file, and its lines."""

import gzip
import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rldk.runs import line_reader
from rldk.runs.adapters import base
from rldk.runs.adapters.base import HEAD_BYTES, Probe, open_binary, text_lines

TEXT = "first\nsecond ünïcode\n\nfourth\n"
LINES = [(1, "first"), (2, "second ünïcode"), (4, "fourth")]


@pytest.fixture
def file(tmp_path):
    """Writes these bytes, or this text, to a file."""

    def write(data, name="log.txt"):
        path = tmp_path / name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return write


def read(path):
    bad = []
    return list(text_lines(path, bad.append)), bad


# Bytes


def test_gzip_is_told_by_the_first_bytes_and_not_by_the_name(file):
    packed = gzip.compress(TEXT.encode())
    for data, name in ((packed, "a.txt"), (packed, "a.gz"), (TEXT.encode(), "b.gz")):
        with open_binary(file(data, name)) as opened:
            assert opened.read() == TEXT.encode()


def test_several_gzip_members_are_one_text(file):
    path = file(gzip.compress(b"a\n") + gzip.compress(b"b\n"))
    assert read(path) == ([(1, "a"), (2, "b")], [])


def test_no_file_stays_open(file):
    for data in (TEXT.encode(), gzip.compress(TEXT.encode()), b"\x1f\x8bgarbage", b""):
        path = file(data)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ResourceWarning)
            read(path)
            _ = Probe(path).head


@given(st.binary(max_size=300_000 // 100), st.integers(1, 400), st.floats(0, 1))
def test_what_comes_before_a_cut_is_given(tmp_path_factory, piece, times, keep):
    content = b"".join(b"%d %s\n" % (number, piece.hex().encode()) for number in range(times))
    packed = gzip.compress(content)
    path = tmp_path_factory.getbasetemp() / "cut.gz"
    path.write_bytes(packed[: 2 + int((len(packed) - 2) * keep)])
    found, bad = read(path)
    expected = list(enumerate(content.decode().splitlines(), 1))
    assert found == expected[: len(found)]
    assert len(bad) == (keep < 1)
    with open_binary(path) as opened:
        head = b""
        try:
            while one := opened.read1():
                head += one
        except EOFError:
            pass
    assert content.startswith(head)
    assert len(found) == len(expected[: head.count(b"\n")])


# Probe


def test_the_head_is_a_few_kilobytes_of_any_file(file):
    path = file(b"x" * (3 * HEAD_BYTES))
    assert Probe(path).head == b"x" * HEAD_BYTES
    packed = file(gzip.compress(b"y" * (3 * HEAD_BYTES)))
    assert Probe(packed).head == b"y" * HEAD_BYTES


@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_the_head_of_a_short_gzip_that_is_cut_is_what_could_be_unpacked(file, keep):
    content = "".join(f"line {number * 7919}\n" for number in range(2_000)).encode()
    packed = gzip.compress(content)
    head = Probe(file(packed[: int(len(packed) * keep)])).head
    assert content.startswith(head)
    assert len(head) > len(content) * keep * 0.5


def test_a_folder_has_no_head(tmp_path):
    probe = Probe(tmp_path)
    assert (probe.is_dir, probe.head, probe.text, probe.lines) == (True, b"", "", [])


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        _ = Probe(tmp_path / "none").head
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")


def test_the_name_is_without_gz_and_case(file):
    assert Probe(file("", "Log.JSONL.gz")).name == "log.jsonl"


def test_binary_has_no_text_and_utf_16_has(file):
    for data in (b"text\0\1text", bytes(range(256)), b"\0" * 99, b"loss: 1\0\x1a"):
        assert Probe(file(data)).text == ""
    assert Probe(file("text".encode("utf-16"))).lines == ["text"]
    assert Probe(file("\ufefftext")).lines == ["text"]


# Lines


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("packed", [False, True])
def test_lines_have_their_numbers_without_the_blank_ones(file, encoding, packed):
    data = TEXT.encode(encoding)
    assert read(file(gzip.compress(data) if packed else data)) == (LINES, [])


def test_colours_and_titles_are_taken_away(file):
    path = file("\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b[2K\n")
    assert read(path) == ([(1, "red x")], [])
    assert Probe(path).lines == ["red x"]


def test_a_progress_bar_is_pieces_of_one_line(file):
    found, _ = read(file("a\rb\r\nc\r\r\nd"))
    assert found == [(1, "a"), (1, "b"), (2, "c"), (3, "d")]


def test_what_is_no_utf_8_is_replaced(file):
    assert read(file(b"caf\xe9\nok\n")) == ([(1, "caf\ufffd"), (2, "ok")], [])


def test_stray_nul_bytes_are_left_out_and_a_hole_is_told(file):
    path = file(b"\0first\n\0\0\nse\0cond\n" + b"\0" * 600 + b"fourth\r\n" + b"\0" * 512)
    assert Probe(path).lines == ["first", "second", "fourth"]
    found, bad = read(path)
    assert found == [(1, "first"), (3, "second"), (4, "fourth")]
    assert [(one.number, one.reason.partition(":")[0]) for one in bad] == [
        (4, "a hole of 600 NUL bytes"),
        (5, "a hole of 512 NUL bytes"),
    ]


def test_a_hole_longer_than_any_line_costs_no_record_behind_it(file, monkeypatch):
    monkeypatch.setattr(base, "MAX_LINE", 1_000)
    found, bad = read(file(b"first\nsec" + b"\0" * 9_000 + b"ond\n" + b"\0" * 7_300 + b"third\n"))
    assert found == [(1, "first"), (3, "third")]
    assert [(one.number, one.reason[:20]) for one in bad] == [
        (2, "a line of more than "),
        (2, "a hole of 9,000 NUL "),
        (3, "a hole of 7,300 NUL "),
    ]


def test_a_line_beyond_all_reason_is_passed_over_and_told_once(file, monkeypatch):
    for module in (base, line_reader):
        monkeypatch.setattr(module, "MAX_LINE", 100)
    found, bad = read(file("a\n" + "x" * 1_000 + "\nb\n" + "y" * 99 + "\n"))
    assert found == [(1, "a"), (3, "b"), (4, "y" * 99)]
    assert [(one.number, one.reason) for one in bad] == [(2, "a line of more than 100 characters")]


def test_a_bomb_is_left_when_it_has_grown_too_far(file):
    found, bad = read(file(gzip.compress((b"x" * 9_999 + b"\n") * 10_000)))
    assert 0 < len(found) < 10_000
    assert "grows beyond all reason" in bad[0].reason
    # The same lines unpacked are only a large file.
    assert len(read(file((b"x" * 9_999 + b"\n") * 1_000))[0]) == 1_000


@pytest.mark.parametrize("data", [b"\x1f\x8b", b"\x1f\x8b\x08\0garbage", b"\x1f\x8b\x09" + b"\0" * 30])
def test_what_only_begins_like_gzip_is_told(file, data):
    found, bad = read(file(data))
    assert found == []
    assert len(bad) == 1
    assert "damaged" in bad[0].reason


def test_a_checksum_that_is_wrong_is_told_and_the_lines_are_given(file):
    packed = bytearray(gzip.compress(b"a\nb\n"))
    packed[-6] ^= 255
    found, bad = read(file(bytes(packed)))
    assert found == [(1, "a"), (2, "b")]
    assert len(bad) == 1


@given(st.text() | st.text("\r\n\x1b[a m") | st.binary().map(lambda data: data.decode("latin-1")))
def test_any_text_comes_back_but_for_colours_nul_bytes_and_blank_lines(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "any"
    data = b"." + text.encode("utf-8", "replace")
    path.write_bytes(data)
    found, bad = read(path)
    assert bad == []
    pieces = re.split("[\r\n]+", data.decode().replace("\0", ""))
    expected = [base._ANSI.sub("", piece) for piece in pieces if piece.strip()]
    assert [line for _, line in found] == expected
    numbers = [number for number, _ in found]
    assert numbers == sorted(numbers)
    assert all(1 <= number <= data.count(b"\n") + 1 for number in numbers)
