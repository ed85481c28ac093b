"""What is measured on defects and generated images: contrast, and the gates that filter bad ones with a reason."""
