"""Problems that mann_hf is measured on; each uses the package as any user would."""
