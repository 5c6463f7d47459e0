"""Receipts as messages, and how a response gets one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from attendant_proto.v1 import receipt_pb2 as pb

from attendant.core.receipt import Maker, Receipt
from attendant.traffic.digests import answer_digest


def receipt_message(receipt: Receipt) -> pb.Receipt:
    """A receipt that has its output."""
    return pb.Receipt(
        maker=maker_message(receipt.maker),
        call=receipt.call,
        settings=receipt.settings,
        seed=receipt.seed,
        input=receipt.input,
        output=receipt.output,
        digest=receipt.digest,
    )


def maker_message(maker: Maker) -> pb.Maker:
    """What makes a model's answers."""
    return pb.Maker(
        model=maker.model,
        version=maker.version,
        bundle=maker.bundle,
        precision=maker.precision,
        server=maker.server,
        libraries=maker.libraries,
        processor=maker.processor,
        threads=maker.threads,
    )


def seal(response: Any, receipt: Receipt | None) -> None:
    """Put the receipt into a response that is complete otherwise, with the digest of what is in there."""
    if receipt is not None:
        response.receipt.CopyFrom(receipt_message(replace(receipt, output=answer_digest(response))))
