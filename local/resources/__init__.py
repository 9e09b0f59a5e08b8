"""How each CloudFormation type is made on the desk."""
