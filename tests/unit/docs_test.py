#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/docs itself: names of what does not exist in a small tree are reported with their line, and nothing else."""
import importlib.machinery
import importlib.util
import os
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("docs", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..",
                                                                   "docs"))
docs = importlib.util.module_from_spec(importlib.util.spec_from_loader("docs", LOADER))
LOADER.exec_module(docs)

# A tree in which all is well.
TREE = {
    "low/a.h": "/* b.c is the other one, and linux/fs.h the kernel's. */\nint a_run(void);\n",
    "low/a.c": 'static const char *s = "// no/comment.c";\nint a_run(void)\n{\n\treturn helper(1);\n}\n',
    "low/b.c": "static void *\nb_stop(int (*f)(void), int n)\n{\n\tb_call();\n}\nint steps[2];\n",
    "model.pml": "#ifdef MUTANT_LAZY\nproctype runner\n",
    "page.md": ("| step | where |\n|---|---|\n| `runner` | `a.c: a_run()`; `b.c: b_stop()` → `b.c: steps[]` |\n"
                "| `LAZY` | `a_run()` calls `helper()`, see `low/NAME.c` and [a](low/a.h) |\n"),
}
TABLES = docs.Tables({"page.md": "low"}, {"page.md": ("model.pml", "MUTANT_")}, {"helper()", "linux/fs.h"})


class DocsTest(unittest.TestCase):
    def check(self, tables=TABLES, **changes):
        """The complaints about the tree with what @changes add to its files: page="| ..." to page.md."""
        with tempfile.TemporaryDirectory() as root:
            for path, text in TREE.items():
                os.makedirs(os.path.dirname(os.path.join(root, path)) or root, exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text + changes.get(os.path.basename(path).replace(".", "_"), ""))
            return list(docs.Check(docs.Tree(root), tables).all())

    def test_nothing_is_wrong(self):
        self.assertEqual(self.check(), [])

    def test_function_of_another_file(self):
        self.assertEqual(self.check(page_md="`a.c: b_stop()`\n"), ["page.md:5: a.c does not define b_stop()"])

    def test_call_is_no_definition(self):
        self.assertEqual(self.check(page_md="`b.c: b_call()`\n"), ["page.md:5: b.c does not define b_call()"])

    def test_function_after_a_comma_is_of_the_same_file(self):
        self.assertEqual(self.check(page_md="`a.c: a_run()`, `b_stop()`; `b_stop()`\n"),
                         ["page.md:5: a.c does not define b_stop()"])

    def test_function_of_no_file(self):
        self.assertEqual(self.check(page_md="\n`a_walk()`\n"), ["page.md:6: no source defines a_walk()"])

    def test_name_in_a_file(self):
        self.assertEqual(self.check(page_md="`b.c: table[]`\n"), ["page.md:5: b.c has no table"])

    def test_file_of_a_function(self):
        self.assertIn("page.md:5: there is no file c.c", self.check(page_md="`c.c: a_run()`\n"))

    def test_step_of_the_model(self):
        self.assertEqual(self.check(page_md="| `walker` | |\n"), ["page.md:5: model.pml has no walker"])

    def test_document_without_a_folder(self):
        """Its file names are looked for everywhere, and functions without a file may be anybody's."""
        with_no_folder = TABLES._replace(functions={})
        self.assertEqual(self.check(with_no_folder, page_md="`a.c: a_run()` `a_walk()` `a.c: b_stop()`\n"),
                         ["page.md:5: a.c does not define b_stop()",
                          "FOREIGN in tests/docs has helper(), which nothing names: remove it"])

    def test_paths(self):
        page = "`low/c.c` `low/x/` `cmd low/d -x` [e](e.md) `f.h` /usr/x.c\n\n    low/g.c\n"
        self.assertEqual(self.check(page_md=page),
                         [f"page.md:5: there is no {name}" for name in ("low/c.c", "low/x/", "low/d", "f.h", "e.md")]
                         + ["page.md:7: there is no low/g.c"])

    def test_comments(self):
        self.assertEqual(self.check(a_h="\n/* See\n * c.c, a.h. */\nint x; // d.h\n"),
                         ["low/a.h:5: there is no c.c", "low/a.h:6: there is no d.h"])

    def test_functions_in_comments(self):
        self.assertEqual(self.check(model_pml="/* b.c: a_run(), a.c: a_run() */\n"),
                         ["model.pml:3: b.c does not define a_run()"])

    def test_foreign_name_that_nothing_names(self):
        with_more = TABLES._replace(foreign=TABLES.foreign | {"gone()"})
        with tempfile.TemporaryDirectory() as root:
            with open(os.path.join(root, "page.md"), "w", encoding="utf-8") as file:
                file.write("`helper()` `linux/fs.h`\n")
            complaints = list(docs.Check(docs.Tree(root), with_more._replace(columns={})).all())
        self.assertEqual(complaints, ["FOREIGN in tests/docs has gone(), which nothing names: remove it"])


if __name__ == "__main__":
    unittest.main()
