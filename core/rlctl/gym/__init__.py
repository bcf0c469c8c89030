"""Kit for backends that train in gymnasium environments (extra `rlctl[gym]`): making them, and facts about them."""
