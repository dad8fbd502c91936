"""Cluster IPs and node ports of Services."""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING

from healing.sandbox.api import errors
from healing.sandbox.ports import Object

if TYPE_CHECKING:
    from healing.sandbox.api.cluster import ApiServer

SERVICE_NETWORK = ipaddress.IPv4Network("10.96.0.0/16")
_NODE_PORTS = range(30000, 32768)
#: the lowest addresses are kept for well-known services
_RESERVED = 256
_ATTEMPTS = 10_000


class Addresses:
    """Hands out addresses; what is taken is read from the Services themselves."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._random = random.Random()

    def assign(self, service: Object) -> None:
        """Give ``service`` the addresses and ports it needs and does not name; 422 `ApiError` if one is taken."""
        spec = service["spec"]
        if spec.get("type") == "ExternalName":
            return
        address = spec.get("clusterIP")
        if not address:
            spec["clusterIP"] = self._free_address()
        elif address != "None" and self._used(address, service):
            why = f"failed to allocate IP {address}: provided IP is already allocated"
            raise errors.invalid(
                "Service", "", service["metadata"]["name"], [errors.invalid_value("spec.clusterIPs", [address], why)]
            )
        spec["clusterIPs"] = [spec["clusterIP"]]
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        self.assign_ports(service)

    def assign_ports(self, service: Object) -> None:
        spec = service["spec"]
        if spec.get("type") not in ("NodePort", "LoadBalancer"):
            return
        used = {
            port.get("nodePort")
            for other in self._server.list("services")
            if other["metadata"].get("uid") != service["metadata"].get("uid")
            for port in other["spec"].get("ports") or ()
        }
        for index, port in enumerate(spec.get("ports") or ()):
            if port.get("nodePort"):
                self._check_port(service, index, port["nodePort"], used)
            else:
                port["nodePort"] = self._random.choice([number for number in _NODE_PORTS if number not in used])
            used.add(port["nodePort"])

    @staticmethod
    def _check_port(service: Object, index: int, number: int, used: set[int | None]) -> None:
        path = f"spec.ports[{index}].nodePort"
        if number not in _NODE_PORTS:
            why = "provided port is not in the valid range. The range of valid ports is 30000-32767"
        elif number in used:
            why = "provided port is already allocated"
        else:
            return
        raise errors.invalid("Service", "", service["metadata"]["name"], [errors.invalid_value(path, number, why)])

    def _used(self, address: str, service: Object) -> bool:
        return any(
            other["spec"].get("clusterIP") == address and other["metadata"].get("uid") != service["metadata"].get("uid")
            for other in self._server.list("services")
        )

    def _free_address(self) -> str:
        used = {service["spec"].get("clusterIP") for service in self._server.list("services")}
        base = int(SERVICE_NETWORK.network_address)
        for _ in range(_ATTEMPTS):
            address = str(
                ipaddress.IPv4Address(base + self._random.randrange(_RESERVED, SERVICE_NETWORK.num_addresses - 1))
            )
            if address not in used:
                return address
        raise errors.failure(
            500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full"
        )
