"""Certificates of our own, made with openssl: a CA that everybody trusts here, and another that nobody does."""
import datetime
import pathlib
import subprocess

EXTENSIONS = """basicConstraints=CA:FALSE
extendedKeyUsage=serverAuth
subjectAltName=DNS:{name}
"""
# For `openssl ca`, which takes dates in every version: `openssl x509` of Debian 12 takes none, and that of
# Debian 13 makes no certificate that has run out already.
SETTINGS = """[ca]
default_ca=own
[own]
database={folder}/{name}.index
serial={folder}/{name}.serial
new_certs_dir={folder}
policy=any
default_md=sha256
unique_subject=no
[any]
commonName=supplied
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
        self.settings = self.folder / f"{name}.cnf"
        self.settings.write_text(SETTINGS.format(folder=folder, name=name))
        (self.folder / f"{name}.index").touch()

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
        now = datetime.datetime.now(datetime.timezone.utc)
        end = now + datetime.timedelta(days=days)
        start = min(now, end - datetime.timedelta(days=1))
        openssl("ca", "-batch", "-notext", "-config", self.settings, "-cert", self.certificate, "-keyfile", self.key,
                "-create_serial", "-startdate", f"{start:%Y%m%d%H%M%SZ}", "-enddate", f"{end:%Y%m%d%H%M%SZ}",
                "-extfile", extensions, "-in", request, "-out", chain)
        return [str(chain), str(key)]
