"""Other tools' files, turned into ours. Pure: text in, text and a list of what did not translate out."""
