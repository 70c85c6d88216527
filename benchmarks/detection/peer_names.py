"""What the peers' names mean in ours: the table by which `peers.py` puts their verdicts into our rule names.

Generous to them: where one of their names means several of our rules, it counts as each of them, and so it
does where their own text names a rule of ours as the likely cause. A name that means none of our rules is
empty, not absent: `peers.py` refuses a name that stands here not at all. On a healthy run a finding is no
false alarm if one of its meanings is true of the run (`compare.py`).

After the colon stands which of its findings a detector with several made, as it says itself in the finding.
"""

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "rldoctor": {
        # Groups whose completions all score the same. Where it adds that the task is too hard, which it says
        # of a reward at its floor, that is also our dead-reward.
        "advantage_collapse:mixed": ("zero-advantage",),
        "advantage_collapse:saturated": ("zero-advantage",),
        "advantage_collapse:too_hard": ("zero-advantage", "dead-reward"),
        "entropy_collapse": ("entropy-collapse",),
        # Reward up, held-out score flat or down. It is told our truth metric as its `eval_score`.
        "reward_hacking": ("proxy-divergence",),
        # "Their rewards measure your length cap". It does not speak of EOS: no eos-mismatch, no missing-eos.
        "length_pathology:truncation": ("truncation",),
        "length_pathology:growth": ("length-runaway",),
        # Length and reward grow together: paid by the token. A proxy that is hacked by length is a proxy.
        "length_pathology:hacking": ("length-runaway", "reward-length-correlation", "proxy-divergence"),
        # Its first two suspects are the learning rate and rollouts of an older policy: counted as both.
        "clip_saturation:saturation": ("off-policy", "stale-rollout"),
        # Lower-bound clipping "starves exploration ... feeds into entropy collapse": a cause, counted as it.
        "clip_saturation:asymmetry": ("off-policy", "entropy-collapse"),
        # "High" is said of a level; it is counted also where the level is that of the first record.
        "kl_drift:high": ("kl-blowup", "reference-mismatch"),
        # "Pinned to the reference ... a self-referencing KL is always 0": also said of a KL below 0, whose
        # cause it does not name: no negative-kl.
        "kl_drift:pinned": ("frozen-policy", "no-learning"),
        "gradient_pathology:nonfinite": ("non-finite",),
        # "Almost always every rollout in every group scored the same."
        "gradient_pathology:zero": ("zero-gradient", "zero-advantage"),
        # "The optimiser is barely moving"; it also sends the reader to the schedule of the learning rate.
        "gradient_pathology:vanishing": ("zero-gradient", "frozen-policy", "zero-learning-rate"),
        # Spikes "large ... across the run": also what a rising norm looks like to it.
        "gradient_pathology:spikes": ("gradient-spike", "gradient-creep"),
        "reward_composition:dominant": ("dominant-reward-component",),
        "reward_composition:dead": ("dead-reward-component",),
        "plateau:flat": ("no-learning",),
        # "Declining, and the best checkpoint is N steps behind you", of the reward or of an eval score: for
        # the accuracies of an eval, that is also the margin that falls.
        "plateau:declining": ("no-learning", "reward-collapse", "margin-collapse"),
    },
    "rlprobe": {
        "KL_BLOWUP": ("kl-blowup",),
        "ENTROPY_COLLAPSE": ("entropy-collapse",),
        # "Reward gains likely come from length, not quality": as rldoctor's.
        "REWARD_HACK_LENGTH": ("length-runaway", "reward-length-correlation", "proxy-divergence"),
        # One reward function at its ceiling, the others stuck: the easy term is farmed.
        "FORMAT_GAMING": ("dominant-reward-component", "dead-reward-component", "proxy-divergence"),
        # Its text blames the learning rate, too many epochs, or stale rollouts.
        "CLIP_SATURATION": ("off-policy", "stale-rollout"),
        "DEGENERATE_GROUPS": ("zero-advantage",),
        # "The gradient signal has vanished"; needs the deviation of the advantages, which TRL does not log.
        "ADV_COLLAPSE": ("zero-advantage", "zero-gradient"),
        "VALUE_DIVERGENCE": ("bad-critic",),
        "GRAD_PATHOLOGY:nonfinite": ("non-finite",),
        "GRAD_PATHOLOGY:spikes": ("gradient-spike", "gradient-creep"),
        # "No working EOS behaviour at all ... verify EOS handling": counted as the EOS rules too.
        "TRUNCATION_STARVE": ("truncation", "eos-mismatch", "missing-eos"),
        "REPETITION_SPIRAL": ("repetition",),
        # "Nothing left to learn from", be it solved or a broken reward.
        "REWARD_STD_DEATH": ("zero-advantage", "dead-reward"),
        "REF_POLICY_DRIFT_ASYMMETRY": ("reference-mismatch",),
        "THROUGHPUT_ROT": ("slow-steps",),
    },
    "rlwatch": {
        "entropy_collapse": ("entropy-collapse",),
        "kl_explosion": ("kl-blowup",),
        # The variance of the reward is three times that of the start, "exploitation of the reward model".
        "reward_hacking": ("proxy-divergence",),
        # "May indicate reward hacking via distribution shift."
        "reward_mean_drift:up": ("proxy-divergence",),
        # "May indicate policy degradation."
        "reward_mean_drift:down": ("reward-collapse",),
        # "Value function estimates are unstable"; no log of TRL has what it needs.
        "advantage_variance": ("bad-critic",),
        "loss_nan": ("non-finite",),
        # Against a frozen start, so that "drift" is seen too.
        "gradient_norm_spike": ("gradient-spike", "gradient-creep"),
    },
}
