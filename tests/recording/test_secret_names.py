"""Names that speak of a secret, and names that sound alike."""

import pytest

from rldk.recording.secret_names import Secrecy, looks_random, secrecy


def _words(text):
    return text.split()


ALL = _words(
    """
    hub_token token HF_TOKEN hfToken accessToken apiKey api_key apikey openai_key wandb_key
    WANDB_API_KEY judge_pwd passphrase cookie session_cookie bearer dsn connection_string sas
    private_key privateKey ssh_key signing_key encryption_key secret_id client_secret clientSecret
    secrets passwords credential credentials creds aws_secret_access_key AWS_SESSION_TOKEN webhook
    webhook_url authorization Authorization x-api-key auth image_token_secret access_key_id
    accesskey auth_header oauth api_keys X-Amz-Signature push_to_hub_token judge.api_key
    optim.0.hfToken OPENAI_KEY password1 --api-keys user_token db_passwd accountKey use_auth_token
    """
)
TEXTS = ["tokens", "wandb_tokens", "judgeTokens", "pass", "smtp_pass", "pat", "github_pat", "sig"]
RANDOM = _words(
    """
    max_tokens num_tokens pad_token eos_token_id token_level stop_token key key_metric primary_key
    keys num_key_value_heads past_key_values mean_token_accuracy max_new_tokens image_token
    token_id_list use_token_level_loss uld_token_merge_strategy include_num_input_tokens_seen
    token_file api_key_path signature
    """
)
NONE = _words(
    """
    tokenizer keyword author authors passes pass_rate pass@k bypass_mode learning_rate path PWD
    monkey turkey output_dir patience secretary dataset_num_proc AuthenticationError
    InvalidTokenError secrets.py tokenized completion compass assignment sign significance
    """
)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        (name, level)
        for level, names in zip(Secrecy, (ALL, TEXTS, RANDOM, NONE), strict=True)
        for name in names
    ],
)
def test_the_words_of_a_name_decide(name, level):
    assert secrecy(name) is level


@pytest.mark.parametrize("text", ["a1b2c3d4e5f6a7", "SECRETVALUE1234567890", "org-9f8e7d6c5b4a3f2e"])
def test_what_only_machines_make_looks_random(text):
    assert looks_random(text)


@pytest.mark.parametrize(
    "text",
    [
        "<|reserved_special_token_0|>",
        "eval_reward",
        "/data/run1234567890ab",
        "https://host/a1b2c3d4e5f6a7",
        "[PAD]",
    ],
)
def test_words_addresses_and_tokens_of_a_vocabulary_do_not(text):
    assert not looks_random(text)
