"""Prints all documents of the container three ways: listed, found by a query, and read one by one. For reader.rs."""

import json
import os

from azure.cosmos import CosmosClient

client = CosmosClient(os.environ["ENDPOINT"], os.environ["KEY"])
container = client.get_database_client("devicestate").get_container_client("devices")
listed = list(container.read_all_items())
found = list(
    container.query_items("SELECT * FROM c WHERE c.Battery >= 0.25", enable_cross_partition_query=True)
)
read = [container.read_item(item["id"], partition_key=item["id"]) for item in listed]
print(json.dumps({"listed": listed, "found": found, "read": read}))
