"""Reads the machine code of compute shaders as Mesa's drivers print it: AMD (RADV with ACO, gfx9 to gfx12), Intel (ANV) and NVIDIA
(NVK with NAK). Finds the instructions, the loops, fused float multiply-adds and the cost of the loop over K.

The loop over K is the one that walks the granules of a matrix row. Its cost is the number of instructions in it for each 32
multiply-adds of one lane: all of them, both sides of a branch, so that what is printed depends on no guess (in the K-quants a lane takes
one of two sides). In matmat it is the loop over steps, with all that loads them, and the loops within count as often as they run. How many multiply-adds an
iteration does is a fact of the sources, so WORK states it; where there are packed products (dot4) or fused multiply-adds of
integers, their number must agree. The cost of attention is the mean of its two loops: the scores (a block of 32 of the head in an
iteration, for each row) and the sum of values (some dimensions of one position, for each row). They are the first ones of their depth.

Limits. A loop that the compiler unrolled whole, or that it left where all compilers unroll today, is
an Error, not a number. What a compiler moved out of a loop is not counted. Instructions cost as one, whatever they take. An Intel
instruction works on 8, 16 or 32 lanes, so a number compares with those of the same chip alone.
"""
import re

DOT4 = re.compile(r"v_dot4c?_i32_i(?:u?8)|dp4a|idp4\.")
# Operations that round once where the source rounds twice. AMD's v_mac and v_mad (vega10, navi10) round twice.
FUSED = {
    "amd": re.compile(r"\b[vs]_(?:pk_|dual_)?fma\w*_f\d+|\bv_fma_(?:mix|legacy)|\bv_(?:dual_)?dot2\w*_[bf]\d+|\bv_div_fmas_"),
    "intel": re.compile(r"(?:mad|madm|mac|lrp|pln)\b.*?>(?:F|HF|DF|BF)\b"),
    "nvidia": re.compile(r"(?:ffma|hfma2|dfma)\b"),
}
# A conversion between f16 and f32 with a multiplication: the addend is -0.
CONVERSION = re.compile(r"v_fma_mix\w* [^,]+, [^,]+, [^,]+, (?:neg\(0\)|-0\b|0\b(?=.*neg_lo:\[\d,\d,1\]))")

# kernel: of each of its loops over K the depth and the multiply-adds of an iteration; for matvec of a row and granule, see matvec_granules
WORK = {"matvec": [(1, 32)], "attention": [(2, 4 * 32), (3, 4 * 4)], "attention_prompt": [(2, 8 * 32), (2, 8 * 2)]}
STEP_DEPTH = 2  # of matmat's loop over steps: the chunks are outside, the granules within and, of floats, their 8 words within these
SUPER_BLOCKS = {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "iq4_xs"}


class Error(Exception):
    """The text is not what this file knows."""


class Loop:
    """A set of blocks that reach each other, entered at its header; inner: the loops within."""

    def __init__(self, blocks, inner):
        self.blocks, self.inner = blocks, inner


class Program:
    """instructions: (name, text) in the order of the text; blocks: ranges of them; loops: the outermost."""

    def __init__(self, vendor):
        self.vendor, self.instructions, self.labels, self.jumps = vendor, [], {}, {}

    def jump(self, targets, falls_through):
        """The instruction that is appended next goes to one of these labels, or on."""
        self.jumps[len(self.instructions)] = (targets, falls_through)

    def finish(self):
        n = len(self.instructions)
        starts = sorted({i for i in [0, *self.labels.values(), *(at + 1 for at in self.jumps)] if i < n})
        block_at = {start: b for b, start in enumerate(starts)}
        self.blocks = [range(a, b) for a, b in zip(starts, starts[1:] + [n])]
        successors = []
        for block in self.blocks:
            targets, falls_through = self.jumps.get(block[-1], ([], True))
            if any(t not in self.labels for t in targets):
                raise Error(f"a jump to {targets}, which is nowhere")
            ends = [self.labels[t] for t in targets] + ([block[-1] + 1] if falls_through else [])
            successors.append([block_at[e] for e in ends if e < n])
        # What is never reached (the padding before a loop) would look like another way into it.
        reached = set(search(0, successors, set(), range(len(self.blocks)))) if n else set()
        self.loops = find_loops(reached, [to if b in reached else [] for b, to in enumerate(successors)])
        return self

    def size(self, loop):
        return sum(len(self.blocks[b]) for b in loop.blocks)

    def count(self, pattern, loop=None):
        blocks = loop.blocks if loop else range(len(self.blocks))
        return sum(len(pattern.findall(self.instructions[i][1])) for b in blocks for i in self.blocks[b])

    def fused(self):
        """The texts of float multiply-adds that round once."""
        return [text for _, text in self.instructions if FUSED[self.vendor].search(text) and not CONVERSION.match(text)]


def search(start, edges, seen, nodes):
    """The nodes reached from start that were not seen before; each after all that are reached from it."""
    order, stack = [], [(start, iter(edges[start]))]
    seen.add(start)
    while stack:
        node, rest = stack[-1]
        for to in rest:
            if to in nodes and to not in seen:
                seen.add(to)
                stack.append((to, iter(edges[to])))
                break
        else:
            order.append(node)
            stack.pop()
    return order


def components(nodes, successors):
    """Sets of nodes that reach each other (Kosaraju's two searches)."""
    predecessors = {n: [] for n in nodes}
    for n in nodes:
        for to in successors[n]:
            if to in nodes:
                predecessors[to].append(n)
    seen, order, found = set(), [], []
    for n in sorted(nodes):
        if n not in seen:
            order += search(n, successors, seen, nodes)
    seen = set()
    for n in reversed(order):
        if n not in seen:
            found.append(set(search(n, predecessors, seen, nodes)))
    return found


def find_loops(nodes, successors):
    """The outermost loops among the nodes; without a loop's header the same search finds those inside."""
    loops = []
    for blocks in components(nodes, successors):
        if len(blocks) == 1 and not blocks & set(successors[min(blocks)]):
            continue
        headers = {to for n in range(len(successors)) if n not in blocks for to in successors[n] if to in blocks}
        loops.append(Loop(blocks, find_loops(blocks - (headers or {min(blocks)}), successors)))
    return loops


def parse_amd(lines):
    program, in_load = Program("amd"), False
    for line in lines:
        text, _, code = (part.strip() for part in line.partition(";"))
        # A load of 16 registers of which the last two are VCC: LLVM's disassembler does not know it, and begins anew at its second word.
        if in_load:
            in_load = False
            if " " in code:  # with the instruction behind it
                program.instructions.append(("unknown", text))
            continue
        if text == "(invalid instruction)" and code.startswith("f4"):
            program.instructions.append(("s_load", text))
            in_load = True
            continue
        label = re.fullmatch(r"(BB\d+):", text)
        repeated = re.fullmatch(r"\(then repeated (\d+) times\)", text)
        if label:
            program.labels[label[1]] = len(program.instructions)
        elif repeated:
            program.instructions += [program.instructions[-1]] * int(repeated[1])
        elif re.match(r"(?:v|s|ds|global|flat|scratch|buffer|image)_\w+", text):
            name, _, operands = text.partition(" ")
            if name.startswith(("s_cbranch", "s_branch")):
                program.jump([operands.strip()], name != "s_branch")
            elif name == "s_endpgm":
                program.jump([], False)
            program.instructions.append((name, text))
        elif text:
            raise Error(f"AMD: {line!r}")
    return program.finish()


def parse_intel(lines):
    program = Program("intel")
    for line in lines:
        label = re.match(r"(LABEL\d+):", line)
        # A predicate, the name with its condition; the second line of a message begins with spaces.
        found = re.match(r"(?:\([^)]*\) )?(([a-z]\w*).*)", line)
        if label:
            program.labels[label[1]] = len(program.instructions)
        elif found:
            text, name = found.groups()
            if text.startswith("sync nop"):  # where instructions wait for others; the driver does not count it either
                continue
            targets = re.findall(r"[JU]IP: +(\w+)", text)
            if targets:
                program.jump(targets, True)
            program.instructions.append((name, text))
        elif line.strip() and not line.startswith(" "):
            raise Error(f"Intel: {line!r}")
    return program.finish()


def parse_nvidia(lines):
    program = Program("nvidia")
    for line in lines:
        text = line.split("//")[0].strip()
        block = re.match(r"block(?:\.u)? \d+ (L\d+) ", text)
        if block:
            program.labels[block[1]] = len(program.instructions)
            continue
        if not text or text.startswith("}"):
            continue
        predicate = re.match(r"@\S+ +", text)
        text = text[predicate.end():] if predicate else text
        text = re.sub(r"^[^=\[]* = +", "", text)
        name = text.split(" ")[0]
        if not re.match(r"[a-z]", name):
            raise Error(f"NVIDIA: {line!r}")
        if name == "bra":  # bra CONDITION LABEL
            program.jump([text.split()[-1]], predicate is not None or text.split()[1] != "pT")
        elif name == "exit":
            program.jump([], predicate is not None)
        program.instructions.append((name, text))
    return program.finish()


PARSERS = {"amd": parse_amd, "intel": parse_intel, "nvidia": parse_nvidia}


def parse(vendor, lines):
    return PARSERS[vendor](lines)


def loops_at(loops, depth):
    if depth == 1:
        return loops
    return loops_at([inner for loop in loops for inner in loop.inner], depth - 1)


def innermost(loops):
    return [found for loop in loops for found in (innermost(loop.inner) if loop.inner else [loop])]


def matvec_granules(module, constants):
    """MATRICES * ROWS * COLUMNS * STEP of matvec.glsl. What is left of a chunk behind the loop is not counted."""
    rows = 4 if "swiglu" in module else 2 * constants[3] if "batch" in module else 2  # matvec_constant of runtime/tuning.h
    if module.endswith("_intf32"):
        return rows * 2
    return rows * (8 if any(module.endswith("_" + t) for t in SUPER_BLOCKS) else 4)


def first_loops(program, work):
    """For each of work the first loop of its depth that no other takes, among those without inner loops; where products are, if they tell."""
    found = []
    outer = [loop for loop in program.loops if program.count(DOT4, loop) or program.count(FUSED[program.vendor], loop)] or program.loops
    for depth, _ in work:
        loops = [loop for loop in loops_at(outer, depth) if not loop.inner and loop not in found]
        if not loops:
            raise Error(f"no loop at depth {depth} without inner loops")
        found.append(min(loops, key=lambda loop: min(loop.blocks)))
    return found


def only(loops, what):
    if len(loops) != 1:
        raise Error(f"{len(loops)} loops over {what}, not 1")
    return loops[0]


def matmat_cost(program, module, constants):
    _, _, rows, tokens, step = constants[:5]  # matmat_constant of runtime/tuning.h
    floats = module.endswith("_intf32")

    def own(loop):
        return program.size(loop) - sum(map(program.size, loop.inner))

    steps = only(loops_at(program.loops, STEP_DEPTH), "steps")
    granules = only(steps.inner, "granules")
    words = only(granules.inner, "words") if floats else None
    if granules.inner and not floats:
        raise Error("a loop in a granule")
    dot4, fused = program.count(DOT4, granules), program.count(FUSED[program.vendor], words) if floats else 0
    work = 4 * rows * tokens
    if dot4 and dot4 != 8 * rows * tokens or fused and not work * 15 / 16 <= fused <= work:
        raise Error(f"{dot4} packed products and {fused} multiply-adds for {rows} x {tokens}")
    return own(steps) / step / (rows * tokens) + (own(granules) + (8 * own(words) if floats else 0)) / (rows * tokens)


def loop_cost(program, module, constants=()):
    """constants: what the module is specialized with. Instructions of the loop over K for each 32 multiply-adds; None: the kernel has no such loop."""
    if module.startswith("matmat"):
        return matmat_cost(program, module, constants)
    kernel = "attention_prompt" if module.startswith("attention_prompt") else module.split("_")[0]
    work = [w for _, w in WORK.get(kernel, [])]
    if not work:
        return None
    if module.startswith("matvec"):
        work = [w * matvec_granules(module, constants) for w in work]
        # One loop deep or two, as a lane has one chunk or more; the loops that add chunks are smaller.
        found = sorted(innermost(program.loops), key=program.size, reverse=True)[:1]
    elif kernel.startswith("attention"):
        found = first_loops(program, WORK[kernel])
    dot4 = program.count(DOT4, found[0])
    fused = program.count(FUSED[program.vendor], found[0]) if module.endswith("_intf32") else 0
    # Products with packed bytes, or a multiply-add each; of those the first of each sum may be a multiplication.
    if dot4 and 4 * dot4 != work[0] or fused and not work[0] * 15 / 16 <= fused <= work[0]:
        raise Error(f"{dot4} packed products and {fused} multiply-adds where an iteration has {work[0]} multiply-adds")
    return sum(program.size(loop) * 32 / w for loop, w in zip(found, work)) / len(work)
