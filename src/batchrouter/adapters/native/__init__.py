"""The providers' own batch APIs.

factory     which adapter speaks to whom; all that `bootstrap` needs
openai      OpenAI's dialect (with `files`, `together_files`, `gemini_files`, `job_object`), anthropic, mistral
caller      requests, replies, errors; `body` and `payload` are large requests, `refusal` is what errors say
search      a provider's list of jobs; `ending` what all do alike when a job ends
"""

from batchrouter.adapters.native.factory import native_api

__all__ = ["native_api"]
