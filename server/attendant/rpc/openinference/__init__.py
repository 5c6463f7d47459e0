"""The Open Inference Protocol: any model behind named tensors. A skin over the front end, as attendant.v1 is."""
