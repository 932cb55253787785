#!/usr/bin/env python3
"""image.py TREE.tar VERSION OUTPUT: packs a tree into an image, as one file that is an OCI layout and
what `docker save` writes at once, so that `podman load`, `docker load` and skopeo take it.

The same tree gives the same bytes. SOURCE_DATE_EPOCH is when it is said to be made.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile

USER = "65532:65532"
STATE = "/var/lib/holdfast"
SECOND = 1_000_000_000
ENVIRONMENT = {
    "PATH": "/usr/bin",
    # Containers are reached from outside; what protects the port is the engine's network.
    "BIND": "0.0.0.0",
    "STORE_PATH": f"{STATE}/holdfast.db",
    "ADMIN_SOCKET": f"{STATE}/admin.sock",
}


def encoded(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def main():
    tree, version, output = sys.argv[1:]
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True)
    with open(tree, "rb") as file:
        layer = file.read()
    blobs = {}

    def blob(kind, data):
        digest = hashlib.sha256(data).hexdigest()
        blobs[digest] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data)}

    config = {
        "architecture": architecture.stdout.strip(),
        "os": "linux",
        "created": datetime.datetime.fromtimestamp(epoch, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "config": {
            "User": USER,
            "Entrypoint": ["/usr/bin/holdfast"],
            "Env": [f"{name}={value}" for name, value in ENVIRONMENT.items()],
            "WorkingDir": STATE,
            "Volumes": {STATE: {}},
            "ExposedPorts": {"3000/tcp": {}},
            "StopSignal": "SIGTERM",
            # Docker's own; others have probes of theirs.
            "Healthcheck": {
                "Test": ["CMD", "/usr/bin/holdfast", "admin", "status"],
                "Interval": 10 * SECOND,
                "Timeout": 5 * SECOND,
                "StartPeriod": 10 * SECOND,
                "Retries": 3,
            },
            "Labels": {
                "org.opencontainers.image.title": "holdfast",
                "org.opencontainers.image.description": "caching reverse proxy that keeps answering when its upstream does not",
                "org.opencontainers.image.version": version,
                "org.opencontainers.image.licenses": "MIT",
            },
        },
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
        "history": [{"created_by": "tools/packaging/container.sh"}],
    }
    config_blob = blob("config.v1+json", encoded(config))
    layer_blob = blob("layer.v1.tar+gzip", gzip.compress(layer, 9, mtime=0))
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config_blob,
        "layers": [layer_blob],
    }
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [
            {
                **blob("manifest.v1+json", encoded(manifest)),
                "annotations": {
                    "io.containerd.image.name": f"docker.io/library/holdfast:{version}",
                    "org.opencontainers.image.ref.name": version,
                },
            }
        ],
    }

    def path(part):
        return "blobs/" + part["digest"].replace(":", "/")

    files = {
        "oci-layout": encoded({"imageLayoutVersion": "1.0.0"}),
        "index.json": encoded(index),
        "manifest.json": encoded(
            [{"Config": path(config_blob), "RepoTags": [f"holdfast:{version}"], "Layers": [path(layer_blob)]}]
        ),
        **{f"blobs/sha256/{digest}": data for digest, data in blobs.items()},
    }
    with tarfile.open(output, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("blobs", "blobs/sha256"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode, folder.mtime = tarfile.DIRTYPE, 0o755, epoch
            tar.addfile(folder)
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o644, epoch
            tar.addfile(member, io.BytesIO(data))


if __name__ == "__main__":
    main()
