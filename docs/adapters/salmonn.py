"""SALMONN (the audio model of EMER-Coarse) as a pre-labeller. Not run by us with its weights.

Written from the published interface of https://github.com/bytedance/SALMONN, branch ``salmonn``: its command line
builds the model by ``SALMONN.from_config(cfg.config.model)``, makes a sample of a WAV file by ``prepare_one_sample``
and asks by ``model.generate(samples, cfg.config.generate, prompts=[…])``, the prompt put into ``prompt_template`` after
``<Speech><SpeechHere></Speech>``. It hears the first 30 s.

In the environment that its README describes (Python 3.9), with this file and ``serve.py`` copied beside its code:

    export SALMONN_CONFIG=configs/decode_config.yaml     # llama_path, whisper_path, beats_path and ckpt filled in
    python serve.py --factory salmonn:load --model salmonn-13b-v1 --port 8011

and in the workbench a pre-labeller of kind server, modality audio, model salmonn-13b-v1, base URL
http://127.0.0.1:8011/v1, concurrency 1.
"""

import argparse
import os
import sys


def load():
    """Load the model once; gives ``describe(audio_path, prompt)``. Raises RuntimeError naming what is not set."""
    path = os.environ.get("SALMONN_CONFIG", "")
    if not os.path.isfile(path):
        raise RuntimeError("set SALMONN_CONFIG to the repository's decode_config.yaml, with its paths filled in")
    if not os.path.isfile("cli_inference.py"):
        raise RuntimeError("start this in the folder of SALMONN's repository (branch salmonn)")
    sys.path.insert(0, os.getcwd())  # its modules are imported by their bare names
    import torch
    from config import Config
    from models.salmonn import SALMONN
    from transformers import WhisperFeatureExtractor
    from utils import prepare_one_sample

    device = os.environ.get("SALMONN_DEVICE", "cuda:0")
    config = Config(argparse.Namespace(cfg_path=path, options=None)).config
    model = SALMONN.from_config(config.model).to(device).eval()
    hearing = WhisperFeatureExtractor.from_pretrained(config.model.whisper_path)

    def describe(audio_path, prompt):
        if audio_path is None:
            raise ValueError("SALMONN hears: the request has no input_audio")
        sample = prepare_one_sample(str(audio_path), hearing)
        question = config.model.prompt_template.format("<Speech><SpeechHere></Speech> " + prompt.strip())
        with torch.no_grad(), torch.cuda.amp.autocast(dtype=torch.float16):
            return model.generate(sample, config.generate, prompts=[question])[0].strip()

    return describe
