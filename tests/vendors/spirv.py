"""Reads what a compute module asks of a workgroup out of its SPIR-V (version 1.6, sections 2.3 and 3.52): invocations and bytes of
shared memory."""
import math
import operator
import struct

MAGIC, HEADER_WORDS = 0x07230203, 5
EXECUTION_MODE, TYPE_BOOL, TYPE_INT, TYPE_FLOAT, TYPE_VECTOR, TYPE_ARRAY, TYPE_STRUCT, TYPE_POINTER = 16, 20, 21, 22, 23, 28, 30, 32
CONSTANT, SPEC_CONSTANT, SPEC_CONSTANT_OP, VARIABLE, DECORATE, EXECUTION_MODE_ID = 43, 50, 52, 59, 71, 331
LOCAL_SIZE, LOCAL_SIZE_ID, WORKGROUP, SPEC_ID = 17, 38, 4, 1
OPERATORS = {128: operator.add, 130: operator.sub, 132: operator.mul, 134: operator.floordiv, 170: operator.eq, 174: operator.ge,
             176: operator.lt}  # of unsigned integers
SELECT = 169


def instructions(data):
    words = struct.unpack(f"<{len(data) // 4}I", data[: len(data) // 4 * 4])
    if len(words) < HEADER_WORDS or words[0] != MAGIC:
        raise ValueError("not a SPIR-V module")
    at = HEADER_WORDS
    while at < len(words):
        count = words[at] >> 16
        if count == 0 or at + count > len(words):
            raise ValueError("a damaged instruction")
        yield words[at] & 0xFFFF, words[at + 1 : at + count]
        at += count


def workgroup(data, special=()):
    """(invocations, bytes of shared memory); special: values of constant_id 0, 1, ...; the others have their defaults"""
    constants, ids, sizes, pointees, local_size, shared = {}, {}, {}, {}, None, 0
    for op, a in instructions(data):
        if op == DECORATE and a[1] == SPEC_ID:
            ids[a[0]] = a[2]
        elif op in (CONSTANT, SPEC_CONSTANT):
            constants[a[1]] = special[ids[a[1]]] if ids.get(a[1], len(special)) < len(special) else a[2]
        elif op == SPEC_CONSTANT_OP and a[2] in OPERATORS and a[3] in constants and a[4] in constants:
            constants[a[1]] = OPERATORS[a[2]](constants[a[3]], constants[a[4]])
        elif op == SPEC_CONSTANT_OP and a[2] == SELECT and all(operand in constants for operand in a[3:6]):
            constants[a[1]] = constants[a[4] if constants[a[3]] else a[5]]
        elif op == TYPE_BOOL:
            sizes[a[0]] = 4
        elif op in (TYPE_INT, TYPE_FLOAT):
            sizes[a[0]] = a[1] // 8
        elif op == TYPE_VECTOR:
            sizes[a[0]] = sizes[a[1]] * a[2]
        elif op == TYPE_ARRAY and a[1] in sizes:
            sizes[a[0]] = sizes[a[1]] * constants[a[2]]
        elif op == TYPE_STRUCT and all(member in sizes for member in a[1:]):
            sizes[a[0]] = sum(sizes[member] for member in a[1:])
        elif op == TYPE_POINTER:
            pointees[a[0]] = a[2]
        elif op == VARIABLE and a[2] == WORKGROUP:
            shared += sizes[pointees[a[0]]]
        elif op == EXECUTION_MODE and a[1] == LOCAL_SIZE:
            local_size = [("value", v) for v in a[2:5]]
        elif op == EXECUTION_MODE_ID and a[1] == LOCAL_SIZE_ID:
            local_size = [("id", v) for v in a[2:5]]
    if not local_size:
        raise ValueError("no workgroup size")
    return math.prod(v if kind == "value" else constants[v] for kind, v in local_size), shared
