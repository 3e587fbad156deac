"""What a configuration amounts to on Kubernetes: worker groups and Serve's configuration."""
