# SPDX-License-Identifier: PostgreSQL
"""A bucket of a Ceph gateway, looked at by somebody else: boto3."""

import boto3
import botocore.config

from objectstore import SECRET


class Bucket:
    """An S3 bucket of a test's own, and boto3's view of it; env is what clients need to know."""

    def __init__(self, server, name, **options):
        self.server, self.name = server, name
        self.url = f"s3://{name}"
        self.env = {
            "AWS_ACCESS_KEY_ID": server.access_key, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": server.region, "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.client = boto3.client(
            "s3", endpoint_url=server.url, region_name=server.region,
            aws_access_key_id=server.access_key, aws_secret_access_key=SECRET,
            config=botocore.config.Config(s3={"addressing_style": "path"}),
        )
        self.client.create_bucket(Bucket=name, **options)

    def keys(self, prefix=""):
        found = []
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=prefix
        ):
            found += [entry["Key"] for entry in page.get("Contents", [])]
        return found

    def get(self, key):
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def put(self, key, data):
        self.client.put_object(Bucket=self.name, Key=key, Body=data)

    def empty(self):
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=key)
