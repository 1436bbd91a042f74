"""Make a folder to ship: a model with the files that a C or C++ program needs to use it."""

from swinir_deploy.bundling.bundle import TARGETS, BundleReport, make_bundle

__all__ = ["TARGETS", "BundleReport", "make_bundle"]
