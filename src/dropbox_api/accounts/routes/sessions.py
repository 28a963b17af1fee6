"""Where one is signed in."""

from fastapi import APIRouter

router = APIRouter()
