from enum import IntEnum

class Side(IntEnum):
    BUY = 0
    SELL = 1
