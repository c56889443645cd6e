# SPDX-License-Identifier: Apache-2.0
"""Tar archives block by block, for those that no tool would write."""

import gzip
import struct

END = bytes(1024)
MTIME = 1_600_000_000


def octal(value, size):
    return b"%0*o\0" % (size - 1, value)


def base256(value, size):
    """GNU's binary numbers; negative ones too."""
    return bytes([0xff if value < 0 else 0x80]) + (value % (1 << 8 * (size - 1))).to_bytes(size - 1, "big")


def header(name, size=0, kind=b"0", link=b"", mode=0o644, mtime=MTIME, magic=b"ustar\x0000",
           prefix=b"", signed=False, checksum=None, tail=None, device=(0, 0)):
    """Numbers may be bytes, which go in as they are."""
    def number(value, width):
        return value.ljust(width, b"\0") if isinstance(value, bytes) else octal(value, width)

    rest = tail if tail is not None else prefix.ljust(155, b"\0")
    block = b"".join([
        name[:100].ljust(100, b"\0"), number(mode, 8), octal(0, 8), octal(0, 8), number(size, 12),
        number(mtime, 12), b" " * 8, kind, link[:100].ljust(100, b"\0"), magic.ljust(8, b"\0"),
        b"root".ljust(32, b"\0"), b"root".ljust(32, b"\0"), octal(device[0], 8), octal(device[1], 8),
        rest]).ljust(512, b"\0")
    assert len(block) == 512
    total = sum(block) if not signed else sum(struct.unpack("512b", block))
    if checksum is None:
        checksum = b"%06o\0 " % total
    return block[:148] + checksum + block[156:]


def padded(data):
    return data + bytes(-len(data) % 512)


def file(name, data=b"x", **fields):
    fields.setdefault("size", len(data))
    return header(name, **fields) + padded(data)


def folder(name, mode=0o755, **fields):
    return header(name, kind=b"5", mode=mode, **fields)


def symlink(name, target, **fields):
    return header(name, kind=b"2", link=target, mode=0o777, **fields)


def hardlink(name, target, **fields):
    return header(name, kind=b"1", link=target, **fields)


def long_name(name, kind=b"L", **fields):
    """The next entry's name (or, with K, its link), GNU's way."""
    return file(b"././@LongLink", name + b"\0", kind=kind, **fields)


def record(key, value):
    body = b" %s=%s\n" % (key, value)
    size = len(body)
    while len(b"%d" % size) + len(body) != size:
        size = len(b"%d" % size) + len(body)
    return b"%d" % size + body


def pax(*records, kind=b"x"):
    """Records are (key, value), or bytes that are none."""
    data = b"".join(one if isinstance(one, bytes) else record(*one) for one in records)
    return file(b"./PaxHeaders/x", data, kind=kind)


def gnu_sparse(name, chunks, real, data, extended=None):
    """GNU's old sparse entry: (offset, size) of each chunk, or None for an empty one."""
    entries = [base256(one[0], 12) + base256(one[1], 12) if one else bytes(24) for one in chunks]
    more = [b"".join(entries[i:i + 21]).ljust(504, b"\0") for i in range(4, len(entries), 21)]
    if extended is None:
        extended = bool(more)
    tail = bytes(41) + b"".join(entries[:4]).ljust(96, b"\0") + bytes([extended]) + base256(real, 12)
    blocks = [block + bytes([block is not more[-1]]) + bytes(7) for block in more]
    return header(name, size=len(data), kind=b"S", magic=b"ustar  \0", tail=tail) + b"".join(blocks) + padded(data)


def pax_sparse_1_0(name, chunks, real, data, **fields):
    text = b"%d\n" % len(chunks) + b"".join(b"%d\n%d\n" % chunk for chunk in chunks)
    head = pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"), (b"GNU.sparse.name", name),
               (b"GNU.sparse.realsize", b"%d" % real))
    return head + file(b"./GNUSparseFile.0/x", padded(text) + data, **fields)


def pax_sparse_0_1(name, chunks, real, data, **fields):
    numbers = b",".join(b"%d,%d" % chunk for chunk in chunks)
    return pax((b"GNU.sparse.size", b"%d" % real), (b"GNU.sparse.numblocks", b"%d" % len(chunks)),
               (b"GNU.sparse.name", name), (b"GNU.sparse.map", numbers)) + file(b"./x", data, **fields)


def pax_sparse_0_0(name, chunks, real, data, **fields):
    records = [(b"GNU.sparse.size", b"%d" % real), (b"GNU.sparse.numblocks", b"%d" % len(chunks))]
    for offset, size in chunks:
        records += [(b"GNU.sparse.offset", b"%d" % offset), (b"GNU.sparse.numbytes", b"%d" % size)]
    return pax(*records) + file(name, data, **fields)


def zip_of(name, data):
    """One stored file."""
    import io
    import zipfile
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, data)
    return out.getvalue()


def cpio_of(name, mode, data=b""):
    """newc, which has sockets."""
    fields = b"070701" + b"".join(b"%08X" % n for n in (
        1, mode, 0, 0, 1, MTIME, len(data), 0, 0, 0, 0, len(name) + 1, 0))
    def pad(part):
        return part + bytes(-len(part) % 4)
    return pad(fields + name + b"\0") + pad(data) + pad(
        b"070701" + b"00000000" * 11 + b"0000000B" + b"00000000" + b"TRAILER!!!\0")


def gzip_with_fields(data, flags):
    """A member whose header has optional fields: 2 FHCRC, 4 FEXTRA, 8 FNAME, 16 FCOMMENT."""
    import zlib
    head = b"\x1f\x8b\x08" + bytes([flags]) + bytes(4) + b"\0\3"
    head += b"\4\0XY\0\0" if flags & 4 else b""
    head += b"name\0" if flags & 8 else b""
    head += b"comment\0" if flags & 16 else b""
    head += struct.pack("<H", zlib.crc32(head) & 0xffff) if flags & 2 else b""
    return head + gzip.compress(data)[10:]
