"""Standard tasks: any Gymnasium MuJoCo environment, recorded, learned and solved in imagination."""
