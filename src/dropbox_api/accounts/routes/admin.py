"""Users, as an administrator manages them."""

from fastapi import APIRouter

router = APIRouter()
