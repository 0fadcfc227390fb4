#!/usr/bin/env python3
"""Reads a journal as docs/FORMATS.md describes it, and nothing else: a check of the document.

usage: read_journal.py DIRECTORY
Prints how many entries are committed and kept, and the CRC32C of their payloads in order.
"""
import os
import struct
import sys

PAGE = 4096
SEGMENTS = 64 << 10
TABLE = []
for i in range(256):
    value = i
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def crc32c(data, seed=0):
    crc = seed ^ 0xFFFFFFFF
    for byte in data:
        crc = TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def fail(text):
    sys.exit(f"read_journal.py: {text}")


class Disk:
    """The flat address space: one file, or `journal` and one file a segment."""

    def __init__(self, directory):
        with open(os.path.join(directory, "journal"), "rb") as file:
            self.bytes = file.read()
        index = 0
        while len(self.bytes) >= SEGMENTS and os.path.exists(name := os.path.join(directory, f"segment-{index:06d}")):
            with open(name, "rb") as file:
                self.bytes += file.read()
            index += 1

    def at(self, offset, length):
        return self.bytes[offset:offset + length]


class Superblock:
    def __init__(self, disk):
        best = None
        for copy in range(4):
            raw = disk.at(copy * PAGE, 512)
            if len(raw) < 512 or raw[:8] != b"SYNODJNL" or struct.unpack_from("<I", raw, 508)[0] != crc32c(raw[:508]):
                continue
            if struct.unpack_from("<H", raw, 8)[0] != 2:
                fail("another version")
            number = struct.unpack_from("<Q", raw, 16)[0]
            if best is None or number > best[0]:
                best = (number, raw)
        if best is None:
            fail("no valid superblock")
        raw = best[1]
        self.cluster = raw[24:32]
        self.disk = raw[32:48]
        self.open_count, self.durable, self.segment_bytes, self.segments = struct.unpack_from("<QQQI", raw, 48)

    def start_of(self, segment):
        return SEGMENTS + segment * self.segment_bytes

    def end(self):
        return self.start_of(self.segments)


class Block:
    """A header that is valid at its place, or ValueError."""

    def __init__(self, disk, superblock, offset):
        raw = disk.at(offset, 288)
        if len(raw) < 288 or raw[:4] != b"SYNB" or struct.unpack_from("<I", raw, 284)[0] != crc32c(raw[:284]):
            raise ValueError
        version, self.kind = struct.unpack_from("<HH", raw, 4)
        if version != 2 or self.kind > 2:
            raise ValueError
        if raw[8:16] != superblock.cluster or raw[16:32] != superblock.disk:
            raise ValueError
        self.open_count, self.offset, self.segment, self.generation = struct.unpack_from("<QQII", raw, 32)
        if self.offset != offset or self.segment != (offset - SEGMENTS) // superblock.segment_bytes:
            raise ValueError
        self.sequence, self.durable, self.previous, self.promised, self.commit, self.highest = struct.unpack_from("<6Q", raw, 56)
        self.checkpoint, self.checkpoint_offset, self.written = struct.unpack_from("<3Q", raw, 104)
        self.payload_bytes, self.records, self.first_segment, self.unbounded = struct.unpack_from("<4I", raw, 128)
        next_previous = struct.unpack_from("<Q", raw, 256)[0]
        payload_crc, header_crc = struct.unpack_from("<II", raw, 280)
        self.length = (288 + self.payload_bytes + PAGE - 1) // PAGE * PAGE
        self.is_healed = self.kind == 2
        self.chain = next_previous if self.is_healed else header_crc << 32 | payload_crc
        self.payload = b"" if self.is_healed else disk.at(offset + 288, self.payload_bytes)
        self.is_whole = self.is_healed or crc32c(self.payload) == payload_crc

    def each_record(self):
        at = 0
        for _ in range(self.records):
            record = Record(self.payload[at:])
            yield record
            at += (record.bytes + 7) // 8 * 8


class Record:
    def __init__(self, raw):
        self.slot, self.ballot, length, body_crc, self.kind = struct.unpack_from("<QQIIB", raw)
        self.body = raw[32:32 + length]
        self.bytes = 32 + length
        if crc32c(raw[:28]) != struct.unpack_from("<I", raw, 28)[0] or crc32c(self.body) != body_crc:
            raise ValueError


def blocks_from(disk, superblock, offset, sequence, chain, open_count):
    """The chain from a place on. Gaps are passed over by the blocks behind them."""
    segment = 0 if offset == superblock.end() else (offset - SEGMENTS) // superblock.segment_bytes
    while True:
        found = None
        places = [offset] if offset < superblock.start_of(segment + 1) else []
        if offset != superblock.start_of(segment):
            places.append(superblock.start_of((segment + 1) % superblock.segments))
        for place in places:
            try:
                block = Block(disk, superblock, place)
            except ValueError:
                continue
            is_next = block.sequence == sequence + 1 or (block.kind != 0 and block.sequence > sequence)
            is_discarded = block.open_count < superblock.open_count and block.sequence > superblock.durable
            if is_replaced(disk, superblock, block):
                continue
            if is_next and block.previous == chain and block.open_count >= open_count and block.is_whole and not is_discarded:
                found = block
                break
        if found is None:
            found = behind_gap(disk, superblock, offset, segment, sequence, open_count)
        if found is None:
            return
        yield found
        offset, segment, sequence = found.offset + found.length, found.segment, found.sequence
        chain, open_count = found.chain, found.open_count


def is_replaced(disk, superblock, block):
    """Discarded once, and the block that should lie here was lost: the block directly behind tells."""
    offset = block.offset + block.length
    if block.is_healed or offset >= superblock.start_of(block.segment + 1):
        return False
    try:
        behind = Block(disk, superblock, offset)
    except ValueError:
        return False
    return behind.sequence == block.sequence + 1 and behind.open_count > block.open_count and behind.previous != block.chain


def behind_gap(disk, superblock, offset, segment, sequence, open_count):
    """The block where the chain goes on behind lost ones, or None: it ends."""
    behind = []
    start = segment
    searched = 0
    while True:
        if offset >= superblock.start_of(segment + 1):
            segment = (segment + 1) % superblock.segments
            if segment == start:
                return None
            offset = superblock.start_of(segment)
        try:
            block = Block(disk, superblock, offset)
            is_discarded = block.open_count < superblock.open_count and block.sequence > superblock.durable
            if block.open_count >= open_count and block.sequence > sequence + 1 and not is_discarded:
                behind.append(block)
                if block.durable > sequence and block.is_whole:
                    break
        except ValueError:
            pass
        offset += PAGE
        searched += PAGE
    found = linked = behind.pop()
    for block in reversed(behind):
        if block.sequence + 1 == linked.sequence and block.chain == linked.previous:
            linked = block
            if block.is_whole:
                found = block
    return found


def newest_checkpoint(disk, superblock):
    """(first block, bytes) of the newest checkpoint that can be read, or None."""
    heads = []
    for segment in range(superblock.segments):
        try:
            head = Block(disk, superblock, superblock.start_of(segment))
            if head.open_count >= superblock.open_count or head.sequence <= superblock.durable:
                heads.append(head)
        except ValueError:
            pass
    named = {(head.checkpoint, head.checkpoint_offset) for head in heads}
    if heads:
        newest = max(heads, key=lambda head: head.sequence)
        for block in blocks_from(disk, superblock, newest.offset, newest.sequence - 1, newest.previous, newest.open_count):
            if block.segment != newest.segment:
                break
            named.add((block.checkpoint, block.checkpoint_offset))
    for sequence, offset in sorted(named, reverse=True):
        if sequence == 0:
            continue
        try:
            first = Block(disk, superblock, offset)
        except ValueError:
            continue
        if first.sequence != sequence:
            continue
        parts = []
        expected = sequence
        for block in blocks_from(disk, superblock, offset, sequence - 1, first.previous, first.open_count):
            if block.sequence != expected:
                break  # a gap within
            expected += 1
            for record in block.each_record():
                if record.kind != 5:
                    continue
                number, part, count, total = struct.unpack_from("<QIIQ", record.body)
                if part == len(parts) and (part == 0 or number == parts[0][0]):
                    parts.append((number, count, total, record.body[24:]))
            if parts and len(parts) >= parts[0][1]:
                break
        if parts and len(parts) == parts[0][1] and sum(len(part[3]) for part in parts) == parts[0][2]:
            return first, b"".join(part[3] for part in parts)
    return None


def entries_of(body):
    """The payloads of one slot's value."""
    if not body:
        return
    runs = struct.unpack_from("<I", body, 8)[0]
    at = 24
    for _ in range(runs):
        length, entries = struct.unpack_from("<II", body, at + 16)
        kind = body[at + 24]
        inner = at + 32
        for _ in range(entries if kind == 1 else 0):
            size = struct.unpack_from("<I", body, inner)[0]
            yield body[inner + 4:inner + 4 + size]
            inner += 4 + size
        at += 32 + (length + 7) // 8 * 8


def main(directory):
    disk = Disk(directory)
    superblock = Superblock(disk)
    places = {}  # slot: (offset, bytes) by the index
    records = {}  # slot: record behind the checkpoint
    pages = {}
    applied, trim, commit = 0, 1, 0
    start = (SEGMENTS, 0, struct.unpack("<Q", superblock.disk[:8])[0], 0)
    checkpoint = newest_checkpoint(disk, superblock)
    if checkpoint:
        first, raw = checkpoint
        start = (first.offset, first.sequence - 1, first.previous, first.open_count)
        if raw[:8] != b"SYNDKCPT":
            fail("no checkpoint")
        members = struct.unpack_from("<I", raw, 12)[0]
        applied, _, _, trim = struct.unpack_from("<4Q", raw, 16)
        opened = struct.unpack_from("<I", raw, 76)[0]
        first_page, page_count, entry_count = struct.unpack_from("<QII", raw, 80)
        at = 128 + members * 24
        for i in range(opened):
            slot, ballot, offset, size = struct.unpack_from("<QQQI", raw, at + i * 40)
            records[slot] = Record(disk.at(offset, size))
        at += opened * 40
        for i in range(page_count):
            _, _, offset, size, _ = struct.unpack_from("<QQQII", raw, at + i * 32)
            pages[first_page + i] = Record(disk.at(offset, size)).body
        at += page_count * 32
        for i in range(entry_count):
            _, offset, size = struct.unpack_from("<QQI", raw, at + i * 32)
            places[(first_page + page_count) * 1024 + 1 + i] = (offset, size)
    for block in blocks_from(disk, superblock, *start):
        commit = max(commit, block.commit)
        for record in block.each_record():
            if record.kind in (1, 2):
                before = records.get(record.slot)
                if before is None or record.kind == 2 or (before.kind == 1 and record.ballot >= before.ballot):
                    records[record.slot] = record
            elif record.kind == 6:
                pages[(record.slot - 1) // 1024] = record.body
            elif record.kind == 7:
                trim = max(trim, record.slot)
    for page, body in pages.items():
        for i in range(1024):
            _, offset, size = struct.unpack_from("<QQI", body, 32 + i * 32)
            places[page * 1024 + 1 + i] = (offset, size)
    entries = 0
    crc = 0
    for slot in range(trim, max(applied, commit) + 1):
        if slot in places:
            record = Record(disk.at(*places[slot]))
        elif slot in records:
            record = records[slot]
        else:
            fail(f"slot {slot} is missing")
        for payload in entries_of(record.body):
            entries += 1
            crc = crc32c(payload, crc)
    print(f"{entries} entries, crc32c {crc:08x}")


main(sys.argv[1])
