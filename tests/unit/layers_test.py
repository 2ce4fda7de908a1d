#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/layers itself: what is planted in a small tree is named, with all that makes it, and nothing else is."""
import importlib.machinery
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("layers", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                                                     "layers"))
layers = importlib.util.module_from_spec(importlib.util.spec_from_loader("layers", LOADER))
LOADER.exec_module(layers)

# A tree in which all is well: low/b stands on low/a, and both programs, which know nothing of each other, on low/b.
# Headers get #pragma once for a first line.
TREE = {
    "low/a.h": "int a_run(void);\n",
    "low/a.c": '#include "a.h"\nint a_run(void) { return 1; }\n',
    "low/b.h": '#include "a.h"\nint b_run(void);\n',
    "low/b.c": '#include "b.h"\nint b_run(void) { return a_run(); }\n',
    "left/inner/c.h": "int c_run(void);\n",
    "left/inner/c.c": '#include "c.h"\n#include "low/b.h"\nint c_run(void) { return b_run(); }\n',
    "left/main.c": '#include "inner/c.h"\nint main(void) { return c_run(); }\n',
    "right/c.h": "int c_run(void);\n",
    "right/c.c": '#include "c.h"\n#include "low/b.h"\nint c_run(void) { return b_run(); }\n',
    "right/main.c": '#include "c.h"\nint main(void) { return c_run(); }\n',
}
FLOORS = {"": "low/\nleft/ right/", "low": "a\nb", "left": "inner/\nmain", "left/inner": "c", "right": "c\nmain"}
TABLES = layers.Tables(FLOORS, {"*/main": (None, "the program")}, (("low/a.h", "low/*", "b.h is the interface"),), {},
                       ("left", "right"))


class LayersTest(unittest.TestCase):
    maxDiff = None
    compiled = {}

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.root, self.build = os.path.join(scratch.name, "tree"), os.path.join(scratch.name, "build")

    def plant(self, files, compiled=True):
        for path, text in files.items():
            os.makedirs(os.path.join(self.root, os.path.dirname(path)), exist_ok=True)
            with open(os.path.join(self.root, path), "w", encoding="utf-8") as file:
                file.write("#pragma once\n" * path.endswith(".h") + text)
        for path in (path for path in files if compiled and path.endswith(".c")):
            top, _, rest = path.partition("/")
            built = os.path.join(self.build, top, "CMakeFiles", top + ".dir", rest + ".o")
            os.makedirs(os.path.dirname(built), exist_ok=True)
            self.compile(path, built)

    def compile(self, path, built):
        """Headers of these trees define nothing: what a source compiles to is its own text's, and kept."""
        with open(os.path.join(self.root, path), encoding="utf-8") as file:
            text = file.read()
        if text not in self.compiled:
            subprocess.run(["cc", "-w", "-I", self.root, "-c", os.path.join(self.root, path), "-o", built], check=True)
            with open(built, "rb") as file:
                self.compiled[text] = file.read()
        with open(built, "wb") as file:
            file.write(self.compiled[text])

    def expect(self, files, *complaints, tables=TABLES):
        self.plant({**TREE, **files})
        self.assertEqual(layers.check(self.root, self.build, tables)[0], list(complaints))

    def test_a_tidy_tree(self):
        self.expect({})

    def test_circle_by_include(self):
        self.expect({"low/a.h": '\n#include "low/b.h"\nint a_run(void);\n'},
                    "low/b is above low/a:\n\tlow/a.h:3: includes low/b.h",
                    "circle: low/a -> low/b -> low/a\n\tlow/a.h:3: includes low/b.h\n"
                    "\tlow/b.h:2: includes low/a.h (and 1 more)")

    def test_circle_by_call(self):
        self.expect({"low/a.c": '#include "a.h"\nint b_run(void);\nint a_run(void) { return b_run(); }\n',
                     "low/b.h": "int b_run(void);\n",
                     "low/b.c": '#include "b.h"\nint a_run(void);\nint b_run(void) { return a_run(); }\n'},
                    "low/b is above low/a:\n\tlow/a.c: refers to b_run of low/b.c",
                    "circle: low/a -> low/b -> low/a\n\tlow/a.c: refers to b_run of low/b.c\n"
                    "\tlow/b.c: refers to a_run of low/a.c")

    def test_circle_of_three(self):
        tables = TABLES._replace(floors={**FLOORS, "low": "a\nb\nd"})
        self.expect({"low/d.h": '#include "b.h"\n', "low/a.h": '#include "d.h"\n'},
                    "low/d is above low/a:\n\tlow/a.h:2: includes low/d.h",
                    "circle: low/a -> low/d -> low/b -> low/a\n\tlow/a.h:2: includes low/d.h\n"
                    "\tlow/d.h:2: includes low/b.h\n\tlow/b.h:2: includes low/a.h (and 1 more)", tables=tables)

    def test_circle_without_places(self):
        tables = TABLES._replace(floors={"": "low/\nleft/ right/"})
        self.plant({**TREE, "right/c.h": '#include "right/d.h"\n', "right/d.h": '#include "c.h"\n'})
        self.assertIn("circle: right/c -> right/d -> right/c\n\tright/c.h:2: includes right/d.h\n"
                      "\tright/d.h:2: includes right/c.h", layers.check(self.root, self.build, tables)[0])

    def test_circle_of_folders(self):
        self.expect({"low/a.h": '#include "left/inner/c.h"\nint a_run(void);\n'},
                    "left/ is above low/:\n\tlow/a.h:2: includes left/inner/c.h",
                    "circle: left/ -> low/ -> left/\n\tleft/inner/c.c:2: includes low/b.h (and 1 more)\n"
                    "\tlow/a.h:2: includes left/inner/c.h")

    def test_upward_call(self):
        self.expect({"low/a.c": '#include "a.h"\nint x_run(void);\nint a_run(void) { return x_run(); }\n',
                     "left/main.c": "int x_run(void) { return 1; }\n"},
                    "left/ is above low/:\n\tlow/a.c: refers to x_run of left/main.c",
                    "circle: left/ -> low/ -> left/\n\tleft/inner/c.c:2: includes low/b.h (and 1 more)\n"
                    "\tlow/a.c: refers to x_run of left/main.c")

    def test_upward_reference_to_data(self):
        self.expect({"left/inner/c.c": '#include "c.h"\nextern int x;\nint c_run(void) { return x; }\n',
                     "left/main.c": '#include "inner/c.h"\nint x;\nint main(void) { return 0; }\n'},
                    "left/main is above left/inner/:\n\tleft/inner/c.c: refers to x of left/main.c",
                    "circle: left/inner/ -> left/main -> left/inner/\n\tleft/inner/c.c: refers to x of left/main.c\n"
                    "\tleft/main.c:1: includes left/inner/c.h")

    def test_beside(self):
        self.expect({"right/c.h": '#include "left/inner/c.h"\n'},
                    "left/ is beside right/:\n\tright/c.h:2: includes left/inner/c.h")
        self.expect({"right/c.h": TREE["right/c.h"]},
                    "low/a is beside low/b:\n\tlow/b.h:2: includes low/a.h\n\tlow/b.c: refers to a_run of low/a.c",
                    tables=TABLES._replace(floors={**FLOORS, "low": "a b"}))

    def test_file_without_place(self):
        self.expect({"low/new.h": "\n", "left/sub/new.h": "\n"},
                    'left/sub/ has no place: put it on a floor of "left" in tests/layers',
                    'left/sub/new has no place: put it on a floor of "left/sub" in tests/layers',
                    'low/new has no place: put it on a floor of "low" in tests/layers')

    def test_folder_without_place(self):
        self.expect({"new/x.h": "\n", "new/sub/y.h": "\n", "stray.h": "\n", "tests/t.c": "int t;\n",
                     ".old/x.c": "int x;\n", "out/CMakeCache.txt": "", "out/kmod/x.h": "\n"},
                    'new/ has no place: put it on a floor of "" in tests/layers',
                    'stray has no place: put it on a floor of "" in tests/layers',
                    'new/sub/ has no place: put it on a floor of "new" in tests/layers',
                    'new/x has no place: put it on a floor of "new" in tests/layers',
                    'new/sub/y has no place: put it on a floor of "new/sub" in tests/layers')

    def test_upward_include_through_a_folder_without_place(self):
        self.expect({"new/x.h": '#include "left/inner/c.h"\n',
                     "low/b.h": '#include "a.h"\n#include "new/x.h"\nint b_run(void);\n'},
                    'new/ has no place: put it on a floor of "" in tests/layers',
                    'new/x has no place: put it on a floor of "new" in tests/layers',
                    "circle: left/ -> low/ -> new/ -> left/\n\tleft/inner/c.c:2: includes low/b.h (and 1 more)\n"
                    "\tlow/b.h:3: includes new/x.h\n\tnew/x.h:2: includes left/inner/c.h")

    def test_include_of_no_unit(self):
        files = {"tests/t.h": "\n",
                 "low/a.h": '#include "tests/t.h"\n#include <tests/t.h>\n#include "../tests/t.h"\n#include "none.h"\n'
                            '#include <stdio.h>\nint a_run(void);\n'}
        self.plant({**TREE, **files}, compiled=False)
        outside = "which is no unit of tests/layers"
        self.assertEqual(layers.check(self.root, None, TABLES)[0],
                         [f"low/a.h:2: includes tests/t.h, {outside}", f"low/a.h:3: includes tests/t.h, {outside}",
                          f"low/a.h:4: includes ../tests/t.h, {outside}", f"low/a.h:5: includes none.h, {outside}"])
        self.assertEqual(layers.check(self.root, None, TABLES._replace(known={"low/a": "until mended"}))[0], [])

    def test_place_without_file(self):
        self.expect({}, "low/old does not exist: remove it from FLOORS in tests/layers",
                    tables=TABLES._replace(floors={**FLOORS, "low": "a\nb old"}))

    def test_own_header(self):
        self.expect({"low/a.c": "int a_run(void) { return 1; }\n"},
                    "low/a.c does not include a header of its own: low/a.h")

    def test_header_in_place_of_its_own(self):
        rows = {"left/main": ("low/a.h", "through inner/c.h"), "right/main": ("low/a.h", "not at all"),
                "low/b": ("low/b.h", "in vain")}
        self.expect({"left/inner/c.h": '#include "low/b.h"\nint c_run(void);\n'},
                    "right/main.c does not include low/a.h, which declares what it defines",
                    "HEADERS in tests/layers lists low/b, which needs no exception: remove the line",
                    tables=TABLES._replace(headers=rows))

    def test_hidden_header(self):
        self.expect({"left/main.c": '#include "low/a.h"\nint main(void) { return 0; }\n'},
                    "left/main.c:1: includes low/a.h: b.h is the interface")

    def test_hidden_header_of_another(self):
        self.expect({"right/c.h": "#include <stdio.h>\n"}, "right/c.h:2: includes stdio.h: only low/ sees it",
                    tables=TABLES._replace(visible=(("stdio.h", "low/*", "only low/ sees it"),)))

    def test_excuse(self):
        tables = TABLES._replace(known={"low/a": "until mended"})
        self.expect({"low/a.h": '#include "low/b.h"\n'}, tables=tables)
        self.expect({"low/a.h": TREE["low/a.h"]},
                    "KNOWN in tests/layers excuses low/a, which breaks no rule: remove the line", tables=tables)

    def test_module(self):
        files = {"kmod/a.h": "\n", "kmod/a.c": '#include "a.h"\nvoid b_run(void);\nvoid a_run(void) { b_run(); }\n',
                 "kmod/b.h": "\n", "kmod/b.c": '#include "b.h"\nvoid b_run(void) { }\n'}
        tables = TABLES._replace(floors={**FLOORS, "": "low/\nleft/ right/ kmod/", "kmod": "a\nb"},
                                 programs=("left", "right", "kmod"))
        self.plant({**TREE, **files})
        copy = os.path.join(self.build, "kmod", "6.12")
        shutil.copytree(os.path.join(self.root, "kmod"), copy)
        for name in ("a", "b"):
            shutil.move(os.path.join(self.build, "kmod", "CMakeFiles", "kmod.dir", name + ".c.o"),
                        os.path.join(copy, name + ".o"))
        self.assertIn(layers.NO_MODULE, layers.check(self.root, self.build, tables)[1])
        with open(os.path.join(copy, "taio.ko"), "wb"):
            pass
        self.assertEqual(layers.check(self.root, self.build, tables)[0],
                         ["kmod/b is above kmod/a:\n\tkmod/a.c: refers to b_run of kmod/b.c"])
        self.plant({"kmod/b.h": "int x;\n"})
        complaints, said = layers.check(self.root, self.build, tables)
        self.assertEqual(complaints, [])
        self.assertIn(layers.NO_MODULE, said)

    def test_nothing_built(self):
        self.plant(TREE, compiled=False)
        self.assertEqual(layers.check(self.root, None, TABLES)[0], [])

    def test_source_without_object(self):
        self.plant(TREE)
        self.plant({"low/a.c": TREE["low/a.c"]}, compiled=False)
        later = os.path.getmtime(os.path.join(self.root, "low/a.c")) + 10
        os.utime(os.path.join(self.root, "low/a.c"), (later, later))
        self.assertEqual(layers.check(self.root, self.build, TABLES)[0],
                         [f"low/a.c has no current object in {self.build}: build it first, or remove the file"])


if __name__ == "__main__":
    unittest.main()
