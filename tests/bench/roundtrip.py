"""Segmenters between libtl and torchvision, with the real torchvision: run it with a Python that has torch, torchvision,
safetensors and Pillow.

There: what `tl train` saves loads into torchvision's network with strict = True and gives the same logits, to 1e-4 of the
largest. Back: torchvision's state_dict, saved by torch.save, becomes a model by `tl convert`, and `tl predict --probabilities`
and `tl eval` say what torchvision says. FCN and DeepLabV3 on ResNet-50 and -101, with and without the auxiliary classifier.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy
import safetensors.torch
import torch
import torchvision
from PIL import Image

CLASSES, TOLERANCE = 5, 1e-4
ARCHS = ("fcn_resnet50", "deeplabv3_resnet50", "fcn_resnet101", "deeplabv3_resnet101")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def tl(args, *command):
    done = subprocess.run([args.tl, *command], cwd=args.work, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"tl {' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def draw(folder, count, height, width):
    """Rectangles of all classes on noise."""
    random = numpy.random.default_rng(7)
    for kind in ("images", "masks"):
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
    for number in range(count):
        mask = numpy.zeros((height, width), "uint8")
        for label in range(1, CLASSES):
            top, left = random.integers(height // 2), random.integers(width // 2)
            mask[top:top + height // 3, left:left + width // 3] = label
        mask[height // 2, width // 2 - CLASSES:width // 2] = range(CLASSES)  # none is hidden by another
        picture = random.normal(60, 30, (height, width, 3)) + 30 * mask[..., None]
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(os.path.join(folder, "images", f"{number}.png"))
        Image.fromarray(mask).save(os.path.join(folder, "masks", f"{number}.png"))


def network(arch, auxiliary):
    make = getattr(torchvision.models.segmentation, arch)
    return make(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=auxiliary).eval()


def logits(model, path, crop=None):
    transforms = torchvision.transforms.functional
    image = Image.open(path).convert("RGB")
    x = transforms.to_tensor(transforms.center_crop(image, crop) if crop else image)
    with torch.inference_mode():
        return model(transforms.normalize(x, MEAN, DEVIATION)[None])["out"][0].numpy()


def deviation(args, model, file, data):
    """Of tl's probabilities' logarithms from torchvision's logits, which they are but for a number for each pixel."""
    out = os.path.join(args.work, "masks")
    tl(args, "predict", file, os.path.join(data, "images"), "--mask-dir", out, "--probabilities", "--device", args.device)
    worst = 0
    for name in sorted(os.listdir(os.path.join(data, "images"))):
        want = logits(model, os.path.join(data, "images", name)).astype("float64")
        have = numpy.log(numpy.load(os.path.join(out, name.replace(".png", ".npy"))).astype("float64"))
        largest = numpy.abs(want).max()
        worst = max(worst, numpy.abs((have - have.mean(0)) - (want - want.mean(0))).max() / largest)
    return worst


def there(args, arch, auxiliary):
    head, trunk = arch.split("_")
    data = os.path.join(args.work, "small")
    with open(os.path.join(args.work, "there.ini"), "w") as file:
        file.write(f"[data]\ntrain = {data}\nbatch = 2\nresize = none\ncrop = 64\n[model]\narch = {trunk}\nweights = random\n"
                   f"head = {head}\nauxiliary = {'yes' if auxiliary else 'no'}\nbn = batch\n[stage all]\ntrain = *\nepochs = 2\nlr = 1e-4\n")
    tl(args, "train", "there.ini", "-o", "run", "--force", "-q", "--device", args.device)
    file = os.path.join(args.work, "run", "model.safetensors")
    model = network(arch, auxiliary)
    model.load_state_dict(safetensors.torch.load_file(file), strict=True)
    return deviation(args, model, file, data)


def back(args, arch, auxiliary):
    torch.manual_seed(1)
    data, model = os.path.join(args.work, "large"), network(arch, auxiliary)
    for module in model.modules():  # as if it had been trained
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in ((module.weight, 0.5, 1), (module.bias, -0.1, 0.1), (module.running_mean, -0.1, 0.1),
                                      (module.running_var, 0.8, 1.2)):
                tensor.data.uniform_(low, high)
    torch.save(model.state_dict(), os.path.join(args.work, "model.pth"))
    file = os.path.join(args.work, "model.safetensors")
    tl(args, "convert", "model.pth", file)
    off = deviation(args, model, file, data)
    again = safetensors.torch.load_file(file)
    if any(not torch.equal(again[name], tensor) for name, tensor in model.state_dict().items()) or len(again) != len(model.state_dict()):
        sys.exit(f"{arch}: tl convert changed a tensor")
    right = total = 0
    for name in os.listdir(os.path.join(data, "images")):  # tl eval cuts 224 pixels from the middle
        mask = numpy.asarray(torchvision.transforms.functional.center_crop(Image.open(os.path.join(data, "masks", name)), 224))
        right += (logits(model, os.path.join(data, "images", name), 224).argmax(0) == mask).sum()
        total += mask.size
    score = json.loads(tl(args, "eval", file, data, "--json", "--device", args.device))
    # Pixels whose first two classes are nearly equal may fall either way.
    if abs(score["pixel_accuracy"] - right / total) > 2e-4:
        sys.exit(f"{arch}: tl eval has a pixel accuracy of {score['accuracy']}, torchvision {right / total}")
    return off


def print_names():
    """The tensors of all eight checkpoints, trunks and heads once each: NAME SHAPE, or + and the name of a batch-norm, whose
    five tensors are one line."""
    print(f"# The tensors of torchvision {torchvision.__version__.split('+')[0]}'s segmenters with 21 classes, in the order of their\n"
          "# state_dict: name and shape; after + a batch-norm, of which there are weight, bias, running_mean and running_var\n"
          "# of that many channels, and num_batches_tracked. Written by tests/bench/roundtrip.py --names.")
    parts = (("resnet50", "fcn_resnet50", "backbone."), ("resnet101", "fcn_resnet101", "backbone."), ("fcn", "fcn_resnet50", "classifier."),
             ("deeplabv3", "deeplabv3_resnet50", "classifier."), ("auxiliary", "deeplabv3_resnet101", "aux_classifier."))
    for part, arch, prefix in parts:
        print(f"[{part}]")
        state = getattr(torchvision.models.segmentation, arch)(weights=None, weights_backbone=None, num_classes=21, aux_loss=True).state_dict()
        for name, tensor in state.items():
            layer, kind = name.rsplit(".", 1)
            if not name.startswith(prefix) or kind in ("running_mean", "running_var", "num_batches_tracked"):
                continue
            if layer + ".running_mean" not in state:
                print(name, *tensor.shape)
            elif kind == "weight":
                print("+" + layer, *tensor.shape)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archs", nargs="*", metavar="ARCH", help=f"any of {', '.join(ARCHS)} (default: all)")
    parser.add_argument("--tl", default="tl", help="the program (default: the one in PATH)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--names", action="store_true", help="print tests/models/torchvision.txt and do nothing else")
    args = parser.parse_args()
    if args.names:
        print_names()
        return 0
    args.tl = os.path.abspath(args.tl) if os.sep in args.tl else args.tl
    failed = 0
    with tempfile.TemporaryDirectory() as args.work:
        draw(os.path.join(args.work, "small"), 2, 64, 64)
        draw(os.path.join(args.work, "large"), 2, 256, 288)
        for arch in args.archs or ARCHS:
            for auxiliary in (True, False):
                for name, way in (("there", there), ("back", back)):
                    off = way(args, arch, auxiliary)
                    failed += not off <= TOLERANCE
                    print(f"{arch:20} {'auxiliary' if auxiliary else '':10} {name:6} {off:.2e}{'' if off <= TOLERANCE else '  WRONG'}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
