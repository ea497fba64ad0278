// The translation unit that the shared precompiled header is built with; it has nothing of its own.
