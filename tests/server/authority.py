# SPDX-License-Identifier: MIT
"""A certificate authority of the tests' own, by openssl(1): certificates of any kind, revocation, OCSP responses."""
import os

from harness import run

CONFIG = """
[ca]
default_ca = own
[own]
database = {dir}/index.txt
new_certs_dir = {dir}
certificate = {dir}/ca.crt
private_key = {dir}/ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
default_days = 2
default_crl_days = 2
policy = any
copy_extensions = copy
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
"""

KEYS = {"ec": ("ec", "-pkeyopt", "ec_paramgen_curve:P-256"), "rsa": ("rsa:2048",)}


class Authority:
    def __init__(self, directory):
        self.dir = directory
        os.makedirs(directory, exist_ok=True)
        self.cert, self.config = self.path("ca.crt"), self.path("ca.conf")
        with open(self.config, "w", encoding="ascii") as to:
            to.write(CONFIG.format(dir=directory))
        with open(self.path("index.txt"), "w", encoding="ascii"):
            pass
        name = f"/CN=Authority {os.path.basename(directory)}"
        self.openssl("req", "-x509", "-newkey", *KEYS["ec"], "-nodes", "-days", "2", "-subj", name,
                     "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.path("ca.key"), "-out", self.cert)

    def path(self, name):
        return os.path.join(self.dir, name)

    def openssl(self, *words):
        done = run("openssl", *words)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def issue(self, stem, common_name, names=(), key="ec", expired=False):
        """Writes STEM.crt and STEM.key: their paths."""
        cert, key_file, request = stem + ".crt", stem + ".key", self.path("request")
        extensions = ["-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)] if names else []
        self.openssl("req", "-new", "-newkey", *KEYS[key], "-nodes", "-subj", f"/CN={common_name}", *extensions, "-keyout",
                     key_file, "-out", request, "-config", self.config)
        dates = ("-startdate", "20200101000000Z", "-enddate", "20210101000000Z") if expired else ()
        self.openssl("ca", "-batch", "-notext", "-config", self.config, "-in", request, "-out", cert, *dates)
        return cert, key_file

    def revoke(self, cert):
        self.openssl("ca", "-config", self.config, "-revoke", cert)

    def crl(self, path):
        self.openssl("ca", "-config", self.config, "-gencrl", "-out", path)
        return path

    def ocsp(self, cert, path):
        """Writes a response that says of @cert what the index does."""
        request = self.path("ocsp.request")
        self.openssl("ocsp", "-issuer", self.cert, "-cert", cert, "-reqout", request)
        self.openssl("ocsp", "-index", self.path("index.txt"), "-CA", self.cert, "-rsigner", self.cert, "-rkey",
                     self.path("ca.key"), "-reqin", request, "-respout", path, "-ndays", "1")
        return path
