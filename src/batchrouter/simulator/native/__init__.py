"""The native batch APIs of the OpenAI family, Mistral, Gemini and Together, with the files that they need."""
