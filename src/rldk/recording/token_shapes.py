"""The tokens of known services, by the shapes that the services give them.

Owns the table of shapes and their sources. Invariant: a shape takes time in proportion to the text, whatever
the text; it begins with or contains its `mark`, so that most texts are never matched against it.
"""

import re
from typing import NamedTuple

__all__ = ["SHAPES", "Shape", "blank_tokens"]

GITLEAKS = "https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml"
TRUFFLEHOG = "https://github.com/trufflesecurity/trufflehog/tree/main/pkg/detectors"
SEEN = "the keys that the service issues; it publishes no pattern"


class Shape(NamedTuple):
    """How the tokens of a service look. The lengths are lower bounds: services lengthen their tokens."""

    service: str
    mark: str
    """A text that every such token contains; lower case."""
    pattern: str
    source: str
    """Who publishes the pattern: a rule or a detector of a secret scanner, or the service."""


SHAPES = (
    Shape("Hugging Face", "hf_", r"hf_[A-Za-z0-9]{16,}", f"{GITLEAKS} huggingface-access-token"),
    Shape("Hugging Face organization", "api_org_", r"api_org_[A-Za-z0-9]{16,}", f"{TRUFFLEHOG}/huggingface"),
    Shape("OpenAI, Anthropic, DeepSeek, OpenRouter", "sk-", r"sk-[\w-]{16,}", f"{TRUFFLEHOG}/openai"),
    Shape("ElevenLabs", "sk_", r"sk_[a-f0-9]{48}", f"{TRUFFLEHOG}/elevenlabs"),
    Shape("GitHub", "gh", r"gh[opusr]_[A-Za-z0-9]{20,}", f"{GITLEAKS} github-pat"),
    Shape("GitHub fine-grained", "github_pat_", r"github_pat_\w{20,}", f"{GITLEAKS} github-fine-grained-pat"),
    Shape(
        "GitLab",
        "gl",
        r"gl(?:pat|cbt|dt|ffct|ft|imt|agent|oas|ptt|rt|soat)-[\w.-]{10,}",
        f"{GITLEAKS} gitlab-pat",
    ),
    Shape("GitLab runner", "gr1348941", r"GR1348941[\w-]{20,}", f"{GITLEAKS} gitlab-rrt"),
    Shape("AWS", "ia", r"A[KSB]IA[A-Z0-9]{16}", f"{GITLEAKS} aws-access-token"),
    Shape("AWS context", "acca", r"ACCA[A-Z0-9]{16}", f"{GITLEAKS} aws-access-token"),
    Shape("AWS, older", "a3t", r"A3T[A-Z0-9]{17}", f"{GITLEAKS} aws-access-token"),
    Shape("AWS Bedrock", "absk", r"ABSK[A-Za-z0-9+/]{40,}={0,2}", f"{GITLEAKS} aws-amazon-bedrock-api-key"),
    Shape(
        "AWS Bedrock, short-lived",
        "bedrock-api-key-",
        r"bedrock-api-key-[A-Za-z0-9+/]{20,}={0,2}",
        f"{GITLEAKS} aws-amazon-bedrock-api-key",
    ),
    Shape("Google API", "aiza", r"AIza[\w-]{30,}", f"{GITLEAKS} gcp-api-key"),
    Shape("Google OAuth", "ya29.", r"ya29\.[\w.-]{10,}", f"{TRUFFLEHOG}/googleoauth2"),
    Shape("Google OAuth refresh", "1//0", r"1//0[\w-]{30,}", SEEN),
    Shape("Google OAuth client", "gocspx-", r"GOCSPX-[\w-]{20,}", SEEN),
    Shape("Azure client", "q~", r"[\w.~]{3}\dQ~[\w.~-]{31,34}", f"{GITLEAKS} azure-ad-client-secret"),
    Shape("Alibaba Cloud", "ltai", r"LTAI[A-Za-z0-9]{12,}", f"{TRUFFLEHOG}/alibaba"),
    Shape("NVIDIA", "nvapi-", r"nvapi-[\w-]{20,}", f"{TRUFFLEHOG}/nvapi"),
    Shape("Groq", "gsk_", r"gsk_[A-Za-z0-9]{20,}", f"{TRUFFLEHOG}/groq"),
    Shape("Replicate", "r8_", r"r8_[\w-]{30,}", f"{TRUFFLEHOG}/replicate"),
    Shape("xAI", "xai-", r"xai-\w{20,}", f"{TRUFFLEHOG}/xai"),
    Shape("Together", "tgp_v1_", r"tgp_v1_[\w-]{20,}", SEEN),
    Shape("Fireworks", "fw_", r"fw_[A-Za-z0-9]{20,}", SEEN),
    Shape("Cerebras", "csk-", r"csk-[A-Za-z0-9]{30,}", SEEN),
    Shape("Perplexity", "pplx-", r"pplx-[A-Za-z0-9]{30,}", f"{GITLEAKS} perplexity-api-key"),
    Shape("Tavily", "tvly-", r"tvly-[\w-]{20,}", SEEN),
    Shape("LangSmith", "lsv2_", r"lsv2_(?:pt|sk)_[A-Za-z0-9_]{32,}", f"{TRUFFLEHOG}/langsmith"),
    Shape("Pinecone", "pcsk_", r"pcsk_\w{30,}", f"{TRUFFLEHOG}/pinecone"),
    Shape("Supabase", "sbp_", r"sbp_[a-z0-9]{32,}", f"{TRUFFLEHOG}/supabasetoken"),
    Shape(
        "Weights & Biases",
        "wandb_v1_",
        r"wandb_v1_\w{20,}",
        "https://docs.wandb.ai/support/models/articles/why-does-my-api-key-fail-with-must-be-40-characters",
    ),
    Shape("Stripe", "k_", r"[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}", f"{GITLEAKS} stripe-access-token"),
    Shape("npm", "npm_", r"npm_[A-Za-z0-9]{30,}", f"{GITLEAKS} npm-access-token"),
    Shape("PyPI", "pypi-", r"pypi-[\w-]{16,}", f"{GITLEAKS} pypi-upload-token"),
    Shape("RubyGems", "rubygems_", r"rubygems_[a-f0-9]{48}", f"{GITLEAKS} rubygems-api-token"),
    Shape("Docker Hub", "dckr_", r"dckr_[po]at_[\w-]{20,}", f"{TRUFFLEHOG}/dockerhub"),
    Shape("Slack", "xox", r"xox[abeoprs][.-][\w.-]{10,}", f"{GITLEAKS} slack-bot-token"),
    Shape("Slack app", "xapp-", r"xapp-\d-[\w-]{10,}", f"{GITLEAKS} slack-app-token"),
    Shape(
        "Slack webhook",
        "hooks.slack.com/",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]+",
        f"{GITLEAKS} slack-webhook-url",
    ),
    Shape(
        "Discord webhook",
        "/api/webhooks/",
        r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]+",
        f"{TRUFFLEHOG}/discordwebhook",
    ),
    Shape("Discord bot", ".", r"[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,}", f"{TRUFFLEHOG}/discordbottoken"),
    Shape(
        "Microsoft Teams webhook",
        ".webhook.office.com/",
        r"[a-z0-9-]{1,60}\.webhook\.office\.com/webhookb2/[\w@/-]+",
        f"{GITLEAKS} microsoft-teams-webhook",
    ),
    Shape("Telegram bot", ":a", r"(?:bot)?\d{6,16}:A[\w-]{30,}", f"{GITLEAKS} telegram-bot-api-token"),
    Shape("Databricks", "dapi", r"dapi[a-f0-9]{32}(?:-\d)?", f"{GITLEAKS} databricks-api-token"),
    Shape("SendGrid", "sg.", r"SG\.[\w-]{16,}\.[\w-]{16,}", f"{GITLEAKS} sendgrid-api-token"),
    Shape("Mailgun", "key-", r"key-[a-f0-9]{32}", f"{GITLEAKS} mailgun-private-api-token"),
    Shape("Twilio", "sk", r"SK[a-fA-F0-9]{32}", f"{GITLEAKS} twilio-api-key"),
    Shape("DigitalOcean", "do", r"do[opr]_v1_[a-f0-9]{32,}", f"{GITLEAKS} digitalocean-pat"),
    Shape("Linear", "lin_", r"lin_(?:api|oauth)_[A-Za-z0-9]{30,}", f"{GITLEAKS} linear-api-key"),
    Shape("Notion", "ntn_", r"ntn_[A-Za-z0-9]{40,}", f"{GITLEAKS} notion-api-token"),
    Shape("Notion, older", "secret_", r"secret_[A-Za-z0-9]{43}", f"{TRUFFLEHOG}/notion"),
    Shape("HashiCorp Vault", "hv", r"hv[sb]\.[\w-]{20,}", f"{GITLEAKS} vault-service-token"),
    Shape("Grafana", "gl", r"gl(?:sa|c)_[A-Za-z0-9+/=_]{30,}", f"{GITLEAKS} grafana-service-account-token"),
    Shape("Pulumi", "pul-", r"pul-[a-f0-9]{40}", f"{GITLEAKS} pulumi-api-token"),
    Shape("Prefect", "pnu_", r"pnu_[A-Za-z0-9]{36}", f"{GITLEAKS} prefect-api-token"),
    Shape("Postman", "pmak-", r"PMAK-[a-f0-9]{24}-[a-f0-9]{34}", f"{GITLEAKS} postman-api-token"),
    Shape("Shopify", "shp", r"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}", f"{GITLEAKS} shopify-access-token"),
    Shape("Sentry", "sntry", r"sntry[su]_[A-Za-z0-9+/=_]{40,}", f"{GITLEAKS} sentry-org-token"),
    Shape("1Password", "ops_", r"ops_eyJ[A-Za-z0-9+/]{40,}={0,2}", f"{GITLEAKS} 1password-service-account"),
    Shape("age", "age-secret-key-", r"AGE-SECRET-KEY-1[A-Z0-9]{50,}", f"{GITLEAKS} age-secret-key"),
    # Also the tokens that are JSON in Base64, as Neptune's and Grafana's.
    Shape("JSON Web Token", "eyj", r"eyJ[\w-]{12,}={0,2}(?:\.[\w-]+={0,2}){0,4}", f"{GITLEAKS} jwt"),
)
"""Comet, Cohere, Mistral, AWS secret keys and older keys of W&B have no shape, but names."""

_START = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[abfnrtv])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9a-f]{2})|(?<=\\u[0-9a-f]{4})"
    r"|(?<=\[\dm)|(?<=\[\d\dm))"
)
"""Where a token may begin: with a word, or behind an escape of `repr`, of an address or of a terminal."""
_SHORTEST = 12

_PRIVATE_KEY = re.compile(
    r"-----BEGIN[A-Z0-9 ]{0,40} PRIVATE KEY(?: BLOCK)?-----(?:(?!-----)[\s\S])*+"
    r"(?:-----END[A-Z0-9 ]{0,60}-----)?"
)
_SCHEME = re.compile(
    r"(?P<scheme>\bbearer\s{1,8})(?=[A-Za-z]*[\d._~+/=-]|\S{16})[\w.~+/=-]{6,}"
    r"|(?P<basic>\bbasic\s{1,8})(?=\S{0,200}?(?:[\d+/=]|(?-i:[a-z][A-Z])))[\w+/-]{8,}={0,2}",
    re.IGNORECASE,
)
"""What follows the scheme of an `Authorization` header (RFC 6750, RFC 7617); plain words do not."""

_compiled = [(shape.mark, re.compile(f"{_START}{shape.pattern}")) for shape in SHAPES]


def blank_tokens(text: str, blank: str) -> str:
    """`text` with each token of a known shape replaced by `blank`."""
    if len(text) < _SHORTEST:
        return text
    lower = text.lower()
    if "private key" in lower:
        text = _PRIVATE_KEY.sub(blank, text)
    for mark, pattern in _compiled:
        if mark in lower:
            text = pattern.sub(blank, text)
    if "bearer" in lower or "basic" in lower:
        text = _SCHEME.sub(lambda found: (found["scheme"] or found["basic"]) + blank, text)
    return text
