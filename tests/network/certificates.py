"""Certificates of our own, made with openssl: a CA that everybody trusts here, and another that nobody does."""
import pathlib
import subprocess

EXTENSIONS = """basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
subjectAltName=DNS:{name}
"""


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


class Authority:
    def __init__(self, folder, name):
        self.folder, self.name = pathlib.Path(folder), name
        self.certificate, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        self.new_key(self.key)
        openssl("req", "-x509", "-new", "-key", self.key, "-out", self.certificate, "-days", 30,
                "-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")

    @staticmethod
    def new_key(path):
        openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)

    def issue(self, name, days=30):
        """[chain, key], as files. Of less than no days: it ran out yesterday, or before."""
        key, request, extensions, chain = (self.folder / f"{self.name}-{name}-{days}.{end}"
                                           for end in ("key", "csr", "ext", "pem"))
        self.new_key(key)
        openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        extensions.write_text(EXTENSIONS.format(name=name))
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial",
                "-days", days, "-extfile", extensions, "-out", chain)
        return [str(chain), str(key)]
