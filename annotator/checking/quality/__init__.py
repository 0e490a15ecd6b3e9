"""How good what comes out is: agreement, pre-labellers, annotators, anchoring, time and money; dashboards of them."""
