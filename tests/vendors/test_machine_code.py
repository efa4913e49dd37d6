"""Tests of machine_code.py and spirv.py on small texts in the form of each driver. python3 tests/vendors/test_machine_code.py"""
import pathlib
import struct
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.dont_write_bytecode = True
import machine_code
import spirv

# A loop whose condition stands behind its body and is entered there; padding before it, an exit behind it.
AMD_ROTATED = """\
BB0:
	s_mov_b32 s0, 0                                             ; be800380
	s_branch BB2                                                ; bf820011
	s_nop 0                                                     ; bf800000
	(then repeated 2 times)
BB1:
	v_dot4_i32_iu8 v1, v2, v3, 0 neg_lo:[1,1,0]                 ; cc16400c 7a02310c
DOT4
	v_add_f32_e32 v5, v5, v1                                    ; 060a1f05
BB2:
	s_cmp_ge_u32 s0, s8                                         ; bf090800
	s_cbranch_scc0 BB1                                          ; bf84ffed
BB3:
	s_endpgm                                                    ; bf810000
""".replace("DOT4", "\n".join(["\tv_dot4_i32_iu8 v1, v2, v3, v1 neg_lo:[1,1,0] ; cc16400c"] * 63))

INTEL_NESTED = """\
mov(16)         g22<1>UD        0x00000000UD                    { align1 1H };

LABEL1:
cmp.ge.f0.0(16) null<1>UD       g20<8,8,1>UD    g30<8,8,1>UD    { align1 1H };
(+f0.0) break(16) JIP:  LABEL0        UIP:  LABEL0              { align1 1H };

LABEL3:
sync nop(1)                     null<0,1,0>UB                   { align1 WE_all 1N $3.src };
DP4A
send(16)        g21UD           g17UD           nullUD          0x08200580                0x00000000
                ugm MsgDesc: ( load, a64, d32, V1 )  base_offset 0  { align1 A@2 $2 };
(-f0.0) if(16)  JIP:  LABEL4          UIP:  LABEL4              { align1 };
mul(16)         g9<1>F          g7<1,1,0>F      g1<1,1,0>F      { align1 };

LABEL4:
endif(16)       JIP:  LABEL2                                    { align1 };

LABEL2:
(-f0.0) while(16) JIP:  LABEL3                                  { align1 1H };

LABEL0:
while(16)       JIP:  LABEL1                                    { align1 1H };
mov(8)          g127<1>UD       g0<8,8,1>UD                     { align1 WE_all 1Q };
""".replace("DP4A", "\n".join(["dp4a(16) g37<1>D g54.0<0,1,0>D g35<8,8,1>D g9<1,1,1>D { align1 $3.dst };"] * 32))

# The exit of the loop stands in the middle, and its end behind it.
NVIDIA_SPLIT = """\
block.u 0 L0 [] -> {
      r1      = s2r sr[0x21]                               // delay=2 wr:0
      r3 p0   = lea r2 2 c[0x0][0x738]                     // delay=4
} -> [1]
block 1 L1 [0, 3] -> {
      p0      = isetp.ge.u32 r4 r5                         // delay=13
@!p0            bra pT L3                                  // delay=1
} -> [2, 3]
block 2 L2 [1] -> {
                st.global.a64.strong.gpu.b32 [r4..6] r1    // delay=2 rd:0
                exit                                       // delay=1 wt=000001
} -> []
block 3 L3 [1] -> {
IDP4
                bra pT L1                                  // delay=1
} -> [1]
""".replace("IDP4", "\n".join(["      r7      = idp4.i8.i8 r7 r24 rZ // delay=4 wt=000001"] * 64))


def parse(vendor, text):
    return machine_code.parse(vendor, text.splitlines())


def one(vendor, line):
    return parse(vendor, line).fused()


class Loops(unittest.TestCase):
    def test_amd(self):
        program = parse("amd", AMD_ROTATED)
        self.assertEqual(len(program.instructions), 73)
        self.assertEqual([program.size(loop) for loop in program.loops], [67])
        self.assertEqual(machine_code.loop_cost(program, "matvec_q4_0"), (64 + 3) / 8)
        self.assertIsNone(machine_code.loop_cost(program, "argmax"))

    def test_amd_load_to_vcc(self):
        alone = "\t(invalid instruction) ; f410170d\n\t(invalid instruction) ; fa000000\ns_endpgm ; bf810000"
        joined = "\t(invalid instruction) ; f400970d\n\texport pos0 off, off, off, off ; f80000c0 3620201d\ns_endpgm ; bf810000"
        self.assertEqual([name for name, _ in parse("amd", alone).instructions], ["s_load", "s_endpgm"])
        self.assertEqual([name for name, _ in parse("amd", joined).instructions], ["s_load", "unknown", "s_endpgm"])
        self.assertRaises(machine_code.Error, parse, "amd", "\t(invalid instruction) ; 12345678")

    def test_intel(self):
        program = parse("intel", INTEL_NESTED)
        self.assertEqual(len(program.instructions), 42)
        self.assertEqual([program.size(loop) for loop in program.loops], [40])
        self.assertEqual([program.size(loop) for loop in program.loops[0].inner], [37])

    def test_nvidia(self):
        program = parse("nvidia", NVIDIA_SPLIT)
        self.assertEqual(len(program.instructions), 71)
        self.assertEqual([program.size(loop) for loop in program.loops], [67])
        self.assertEqual(machine_code.loop_cost(program, "matvec_q8_0"), (64 + 3) / 8)

    def test_two_loops_at_one_depth(self):
        text = "".join(f"LABEL{i}:\n" + "add(8) g1<1>D g2<8,8,1>D 1D { align1 };\n" * n + f"while(8) JIP: LABEL{i} {{ align1 }};\n"
                       for i, n in ((1, 39), (2, 9)))
        program = parse("intel", f"LABEL0:\nnop;\n{text}while(8) JIP: LABEL0 {{ align1 }};\n")
        self.assertEqual(machine_code.loop_cost(program, "attention_prompt"), (40 * 32 / 256 + 10 * 32 / 16) / 2)
        with self.assertRaises(machine_code.Error):  # none at a depth of 3
            machine_code.loop_cost(program, "attention")

    def test_loops_count_as_often_as_they_run(self):
        def loop(label, body):
            return f"LABEL{label}:\n{body}while(8) JIP: LABEL{label} {{ align1 }};\n"

        add, dot4, mad = ("add(8) g1<1>D g2<8,8,1>D 1D;\n", "dp4a(8) g1<1>D g2<8,8,1>D g3<8,8,1>D g4<8,8,1>D;\n",
                          "mad(8) g1<1>F g2<8,8,1>F g3<8,8,1>F g4<8,8,1>F;\n")
        packed = parse("intel", "nop;\n" + loop(0, add + loop(1, 5 * add + loop(2, 3 * add + 16 * dot4))))
        self.assertEqual(machine_code.loop_cost(packed, "matmat_q4_0", [64, 8, 2, 1, 4]), (6 / 4 + 20) / 2)
        floats = parse("intel", "nop;\n" + loop(0, add + loop(1, 5 * add + loop(2, 3 * add + loop(3, add + 8 * mad)))))
        self.assertEqual(machine_code.loop_cost(floats, "matmat_q4_0_intf32", [64, 8, 2, 1, 4]), (6 / 4 + 4 + 8 * 10) / 2)
        for module, tile in (("matmat_q4_0", [64, 8, 2, 2, 4]), ("matmat_q4_0_intf32", [64, 8, 2, 1, 4])):
            with self.assertRaises(machine_code.Error):  # other products than the tile has, a loop too few
                machine_code.loop_cost(packed, module, tile)

    def test_not_understood(self):
        with self.assertRaises(machine_code.Error):  # no loop at that depth
            machine_code.loop_cost(parse("amd", AMD_ROTATED), "matmat_q4_0", [64, 8, 1, 1, 2])
        with self.assertRaises(machine_code.Error):  # half of the products
            machine_code.loop_cost(parse("nvidia", NVIDIA_SPLIT.replace("idp4.i8.i8", "iadd3", 4)), "matvec_q8_0")
        for vendor, line in (("amd", "BB0: ?"), ("intel", "?"), ("nvidia", "r1 = ?"), ("amd", "\ts_branch BB9")):
            with self.assertRaises(machine_code.Error):
                parse(vendor, line)


class Fused(unittest.TestCase):
    def test_amd(self):
        for line in ("v_fma_f32 v1, v2, v3, v4", "v_fmac_f32_e32 v1, v2, v3", "v_fmaak_f32 v1, v2, v3, 0x3f800000",
                     "v_fmamk_f32 v1, v2, 0x3f800000, v3", "v_pk_fma_f32 v[0:1], v[2:3], v[4:5], v[6:7]",
                     "v_dual_mul_f32 v1, v2, v3 :: v_dual_fmac_f32 v4, v5, v6", "s_fmac_f32 s1, s2, s3",
                     "v_dual_fmamk_f32 v1, v2, 0x40000000, v3 :: v_dual_mov_b32 v4, v5",
                     "v_fma_mix_f32 v1, v2, v3, v4 op_sel_hi:[1,0,0]", "v_fma_mixlo_f16 v1, v2, v3, 0",
                     "v_fma_mix_f32 v1, v2, v3, 0 neg_lo:[0,1,0]", "v_dot2_f32_f16 v1, v2, v3, v4"):
            self.assertEqual(one("amd", line), [line])
        for line in ("v_mac_f32_e32 v1, v2, v3", "v_mad_f32 v1, v2, v3, v4", "v_madak_f32 v1, v2, v3, 0x3f800000",
                     "v_mul_f32_e32 v1, v2, v3", "v_dual_mul_f32 v1, v2, v3 :: v_dual_add_f32 v4, v5, v6",
                     "v_fma_mix_f32 v1, v2, 1.0, neg(0) op_sel_hi:[1,0,0]", "v_fma_mix_f32 v1, v2, 1.0, 0 neg_lo:[0,0,1]",
                     "v_mad_u32_u24 v1, v2, v3, v4", "v_dot4_i32_iu8 v1, v2, v3, v4"):
            self.assertEqual(one("amd", line), [])

    def test_intel(self):
        for line in ("mad(16)         g72<1>F         g66<4,4,1>F     g68<4,4,1>F     g70<4,4,1>F { align16 1H };",
                     "mac(8)          g1<1>F          g2<8,8,1>F      g3<8,8,1>F      { align1 };"):
            self.assertEqual(one("intel", line), [line])
        self.assertEqual(len(one("intel", "(+f0.0) mad.l.f0.0(8)  g1<1>HF g2<8,8,1>HF g3<8,8,1>HF g4<8,8,1>HF { align1 };")), 1)
        for line in ("mad(16)         g72<1>D         g66<4,4,1>D     g68<4,4,1>W     g70<4,4,1>W { align1 1H };",
                     "add(16)         g72<1>F         g66<4,4,1>F     g68<4,4,1>F     { align1 1H };"):
            self.assertEqual(one("intel", line), [])

    def test_nvidia(self):
        self.assertEqual(one("nvidia", "@!p0  r16     = ffma.ftz r18 r19 r16    // delay=1"), ["ffma.ftz r18 r19 r16"])
        self.assertEqual(len(one("nvidia", "r16     = hfma2 r18 r19 r16")), 1)
        for line in ("r7      = fmul.ftz r7 r8", "r6      = fadd.ftz r6 r7", "r4      = imad r1 c[0x0][0x750] rZ"):
            self.assertEqual(one("nvidia", line), [])


class Spirv(unittest.TestCase):
    def test_workgroup(self):
        words = [spirv.MAGIC, 0x10600, 0, 20, 0]
        for op, *operands in ((16, 1, 17, 16, 8, 1),  # LocalSize
                              (22, 2, 32), (23, 3, 2, 4), (21, 4, 32, 0), (43, 4, 5, 10),  # float, vec4, uint, 10
                              (28, 6, 3, 5), (30, 7, 6, 4), (32, 8, 4, 7),  # vec4[10], a struct with an uint, a pointer to it
                              (59, 8, 9, 4)):  # a variable in shared memory
            words += [(len(operands) + 1) << 16 | op, *operands]
        data = struct.pack(f"<{len(words)}I", *words)
        self.assertEqual(spirv.workgroup(data), (128, 164))
        for damaged in (b"", data[:20], data[:-4]):
            with self.assertRaises(ValueError):
                spirv.workgroup(damaged)


if __name__ == "__main__":
    unittest.main()
