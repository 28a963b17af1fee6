"""Signing in at an OpenID provider."""

from fastapi import APIRouter

router = APIRouter()
