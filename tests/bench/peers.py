"""Measures libtl beside PyTorch, ONNX Runtime and OpenVINO; peers.sh starts it with a Python that has them.

Each measurement is a process of its own. libtl and a peer take turns (libtl, peer, libtl, peer, ...), and each pair gives one
ratio: what the machine does in the course of an hour does not favour either. Printed are the medians of the speeds and of the
ratios, the smallest and largest ratio, the memory of both, and how much of the machine other programs used meanwhile: where
that is more than a few percent, the ratios are worth little.
"""
import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

CLASSES = 21  # of segmenters
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# glibc gives large blocks back to the system after each tensor, and every page is zeroed when it comes again. These keep them.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 32), "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 28)}


# ---- one peer, in a process of its own ----

def repeat(step, batch, seconds):
    """Runs step at least four times, the first apart; prints what came of it as one line of JSON."""
    step()
    ready, times = time.time() - started(), []
    begin = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        at = time.perf_counter()
        step()
        times.append(time.perf_counter() - at)
    print(json.dumps({
        "images_per_second": batch / statistics.median(times),
        "best_images_per_second": batch / min(times),
        "ready_seconds": ready,
        "resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }))


def started():
    """When this process began, by the clock of time.time()."""
    with open("/proc/self/stat") as file:
        ticks = int(file.read().rsplit(")", 1)[1].split()[19])
    with open("/proc/uptime") as file:
        uptime = float(file.read().split()[0])
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def torch_model(args):
    import torch
    import torchvision
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if "_resnet" in args.arch:  # a segmenter; its auxiliary classifier serves training alone, as in tl bench
        make = getattr(torchvision.models.segmentation, args.arch)
        return torch, torchvision, make(weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=args.task != "forward")
    return torch, torchvision, getattr(torchvision.models, args.arch)(weights=None)


def loss_of(torch, result, labels):
    """Of a classifier, or of a segmenter with its auxiliary classifier."""
    entropy = torch.nn.functional.cross_entropy
    if not isinstance(result, dict):
        return entropy(result, labels)
    return entropy(result["out"], labels, ignore_index=255) + 0.5 * entropy(result["aux"], labels, ignore_index=255)


def measure_torch(args):
    torch, _, model = torch_model(args)
    x = torch.randn(args.batch, 3, args.size, args.size)
    if args.best:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    model.eval()  # stored statistics, as tl bench has them, in training too
    narrow = torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.precision == "bf16")
    if args.task == "forward":
        def step():
            with torch.inference_mode(), narrow:
                return model(x)
    else:
        for name, parameter in model.named_parameters():
            parameter.requires_grad = args.task == "full" or name.startswith(("layer4.", "fc.", "classifier.", "aux_classifier."))
        learning = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(learning, lr=1e-6)
        labels = torch.arange(args.batch) % 1000
        if "_resnet" in args.arch:
            labels = (torch.arange(args.batch * args.size * args.size) % CLASSES).reshape(args.batch, args.size, args.size)

        def step():
            optimizer.zero_grad()
            with narrow:
                loss = loss_of(torch, model(x), labels)
            loss.backward()
            optimizer.step()
            return loss.item()
    repeat(step, args.batch, args.seconds)


def measure_onnxruntime(args):
    import numpy
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    session = onnxruntime.InferenceSession(args.onnx, options, providers=["CPUExecutionProvider"])
    x = numpy.random.default_rng(0).standard_normal((args.batch, 3, 224, 224)).astype("float32")
    repeat(lambda: session.run(None, {"x": x}), args.batch, args.seconds)


def measure_openvino(args):
    import numpy
    import openvino
    core = openvino.Core()
    model = core.read_model(args.onnx)
    model.reshape([args.batch, 3, 224, 224])
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": args.threads,
        "INFERENCE_PRECISION_HINT": "bf16" if args.precision == "bf16" else "f32",
        "PERFORMANCE_HINT": "LATENCY",
    })
    request = compiled.create_infer_request()
    x = numpy.random.default_rng(0).standard_normal((args.batch, 3, 224, 224)).astype("float32")
    repeat(lambda: request.infer({0: x}), args.batch, args.seconds)


def export(args):
    torch, _, model = torch_model(args)
    torch.onnx.export(model.eval(), (torch.randn(1, 3, 224, 224),), args.onnx, input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, dynamo=False)


def job(args):
    """The job that libtl is for, as it is usually written in PyTorch."""
    torch, torchvision, model = torch_model(args)
    transforms = torchvision.transforms
    images = torchvision.datasets.ImageFolder(args.data, transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), transforms.Normalize(MEAN, DEVIATION)]))
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = torch.nn.Linear(model.fc.in_features, len(images.classes))
    loader = torch.utils.data.DataLoader(images, batch_size=args.batch, shuffle=True)
    optimizer, criterion = torch.optim.Adam(model.fc.parameters(), lr=1e-3), torch.nn.CrossEntropyLoss()
    model.train()
    for epoch in range(args.epochs):
        total = 0.0
        for x, labels in loader:
            optimizer.zero_grad()
            loss = criterion(model(x), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        print(f"Epoch {epoch + 1}, Loss: {total / len(images):.4f}", file=sys.stderr)


def segment_job(args):
    """A segmenter's head trained on a frozen trunk, as it is usually written in PyTorch; channels-last with --best."""
    import numpy
    from PIL import Image
    torch, torchvision, model = torch_model(args)
    normalize = torchvision.transforms.Normalize(MEAN, DEVIATION)
    names = sorted(os.listdir(os.path.join(args.data, "images")))

    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return len(names)

        def __getitem__(self, index):
            image = Image.open(os.path.join(args.data, "images", names[index])).convert("RGB")
            mask = Image.open(os.path.join(args.data, "masks", names[index]))
            x = torchvision.transforms.functional.to_tensor(image)
            return normalize(x), torch.from_numpy(numpy.array(mask, dtype="int64"))

    for name, parameter in model.named_parameters():
        parameter.requires_grad = not name.startswith("backbone.")
    model.eval()
    if args.best:
        model = model.to(memory_format=torch.channels_last)
    loader = torch.utils.data.DataLoader(Pairs(), batch_size=args.batch, shuffle=True)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for epoch in range(args.epochs):
        total = 0.0
        for x, labels in loader:
            optimizer.zero_grad()
            loss = loss_of(torch, model(x.contiguous(memory_format=torch.channels_last) if args.best else x), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        print(f"Epoch {epoch + 1}, Loss: {total / len(names):.4f}", file=sys.stderr)


def draw_masked(folder, count, size):
    """Noise with discs of CLASSES - 1 kinds in it, told apart by their shades, and their masks."""
    import numpy
    from PIL import Image
    random = numpy.random.default_rng(5)
    for kind in ("images", "masks"):
        os.makedirs(os.path.join(folder, kind), exist_ok=True)
    for number in range(count):
        picture = random.normal(64, 20, (size, size, 3))
        mask = numpy.zeros((size, size), "uint8")
        y, x = numpy.mgrid[0:size, 0:size]
        for disc in range(6):
            inside = (x - random.integers(size)) ** 2 + (y - random.integers(size)) ** 2 < (size // 8) ** 2
            mask[inside] = 1 + (number * 6 + disc) % (CLASSES - 1)
        picture += 9 * mask[..., None]
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(os.path.join(folder, "images", f"{number}.png"))
        Image.fromarray(mask).save(os.path.join(folder, "masks", f"{number}.png"))


def draw_images(folder, count):
    """Photographs of nothing in two classes: noise at all scales, and stripes that lean one way or the other."""
    import numpy
    from PIL import Image
    random = numpy.random.default_rng(3)
    for number in range(count):
        width, height = (500, 375) if number % 4 else (375, 500)
        picture = numpy.full((height, width, 3), 128.0)
        for octave in range(2, 9):
            small = Image.fromarray(random.integers(0, 256, (1 << octave, 1 << octave, 3), dtype="uint8"))
            picture += (numpy.asarray(small.resize((width, height), Image.BICUBIC), "float32") - 128) * 0.8 ** octave
        y, x = numpy.mgrid[0:height, 0:width]
        picture += 15 * numpy.sin(0.3 * (x + (y if number % 2 else -y)))[..., None]
        picture += random.normal(0, 3, picture.shape)
        place = os.path.join(folder, "left" if number % 2 else "right")
        os.makedirs(place, exist_ok=True)
        Image.fromarray(picture.clip(0, 255).astype("uint8")).save(os.path.join(place, f"{number}.jpg"), quality=90)


# ---- in turns ----

def busy_ticks():
    with open("/proc/stat") as file:
        fields = [int(word) for word in file.readline().split()[1:]]
    return sum(fields[0:3]) + sum(fields[5:8])


class Failed(Exception):
    pass


def run(command, environment=None):
    """Its output, how long it took, the most memory it had, and the share of the machine that others used meanwhile."""
    before, begin = busy_ticks(), time.perf_counter()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=out, stderr=errors, env={**os.environ, **(environment or {})})
        _, status, own = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - begin
        out.seek(0)
        errors.seek(0)
        text, complaint = out.read(), errors.read().strip()
    if process.returncode:
        last = " / ".join(complaint.splitlines()[-2:])
        raise Failed(f"{os.path.basename(command[0])} ended with {process.returncode}: {last}")
    others = (busy_ticks() - before) / os.sysconf("SC_CLK_TCK") - own.ru_utime - own.ru_stime
    return text, seconds, own.ru_maxrss * 1024, max(0.0, others / seconds / os.cpu_count())


class Side:
    """One of the two that take turns. rate: higher is faster, in images or runs a second."""

    def __init__(self, name, command, environment=None, whole=False):
        self.name, self.command, self.environment, self.whole = name, command, environment, whole
        self.rates, self.bytes, self.others = [], [], []

    def turn(self):
        text, seconds, resident, others = run(self.command, self.environment)
        if self.whole:
            self.rates.append(1 / seconds)
            self.bytes.append(resident)
        else:
            result = json.loads(text[text.index("{"):])
            self.rates.append(result["images_per_second"])
            self.bytes.append(result["resident_bytes"])
        self.others.append(others)

    def speed(self):
        rate = statistics.median(self.rates)
        return f"{1 / rate:.2f} s" if self.whole else f"{rate:.2f} images/s"


def pair(title, libtl, peer, args, results):
    try:
        for _ in range(args.rounds):
            libtl.turn()
            peer.turn()
    except Failed as reason:
        print(f"{title:34} {peer.name:22} NOT MEASURED: {reason}", flush=True)
        results.append({"case": title, "peer": peer.name, "failed": str(reason)})
        return False
    ratios = [a / b for a, b in zip(libtl.rates, peer.rates)]
    others = max(libtl.others + peer.others)
    megabytes = [max(side.bytes) / 1e6 for side in (libtl, peer)]
    print(f"{title:34} {peer.name:22} {statistics.median(ratios):6.2f}x ({min(ratios):.2f} to {max(ratios):.2f})   "
          f"libtl {libtl.speed()}, {megabytes[0]:.0f} MB; peer {peer.speed()}, {megabytes[1]:.0f} MB; others up to {100 * others:.0f} %",
          flush=True)
    results.append({"case": title, "peer": peer.name, "ratios": ratios, "libtl": libtl.rates, "peer_rates": peer.rates,
                    "unit": "runs/s" if libtl.whole else "images/s", "libtl_bytes": libtl.bytes, "peer_bytes": peer.bytes, "others": others})
    return True


def worker(args, engine, arch, batch, task, precision="fp32", best=False, onnx="", size=224):
    command = [sys.executable, os.path.abspath(__file__), "--worker", engine, "--arch", arch, "--batch", str(batch), "--task", task,
               "--precision", precision, "--threads", str(args.threads), "--seconds", str(args.seconds), "--onnx", onnx, "--size", str(size)]
    return command + (["--best"] if best else [])


def bench(args, arch, batch, mode, precision="fp32", size=224):
    command = [args.tl, "bench", arch, "--batch", str(batch), "--size", str(size), "--mode", mode, "--threads", str(args.threads), "--device", "cpu", "--json"]
    return Side("libtl", command + (["--precision", precision] if precision != "fp32" else []))


def onnx_file(args, arch):
    path = os.path.join(args.work, arch + ".onnx")
    if not os.path.exists(path):
        run([sys.executable, os.path.abspath(__file__), "--worker", "export", "--arch", arch, "--threads", str(args.threads), "--onnx", path + ".part"])
        os.rename(path + ".part", path)
    return path


def compare_forward(args, results, precision):
    good = True
    for arch, batch in (("resnet50", 1), ("resnet50", 32), ("vgg16", 16)):
        title, onnx = f"{arch} batch {batch} {precision}", onnx_file(args, arch)
        peers = [Side("PyTorch", worker(args, "torch", arch, batch, "forward", precision)),
                 Side("PyTorch, best", worker(args, "torch", arch, batch, "forward", precision, True), KEEP_MEMORY),
                 Side("OpenVINO", worker(args, "openvino", arch, batch, "forward", precision, onnx=onnx))]
        if precision == "fp32":  # its CPU kernels know no bf16
            peers.insert(2, Side("ONNX Runtime", worker(args, "onnxruntime", arch, batch, "forward", onnx=onnx)))
        for peer in peers:
            good &= pair(title, bench(args, arch, batch, "forward", precision), peer, args, results)
    return good


def compare_train(args, results):
    good = True
    for mode, batch in (("layer4", 32), ("full", 16)):
        for best in (False, True):
            peer = Side("PyTorch, best" if best else "PyTorch", worker(args, "torch", "resnet50", batch, mode, best=best),
                        KEEP_MEMORY if best else None)
            good &= pair(f"resnet50 {mode} step, batch {batch}", bench(args, "resnet50", batch, mode), peer, args, results)
    return good


def compare_segment(args, results):
    """deeplabv3_resnet50 on images of 256 pixels: inference, a step of everything, and the head alone over epochs."""
    arch, size, batch, good = "deeplabv3_resnet50", 256, 4, True
    for mode in ("forward", "full"):
        for best in (False, True):
            peer = Side("PyTorch, best" if best else "PyTorch", worker(args, "torch", arch, batch, mode, best=best, size=size),
                        KEEP_MEMORY if best else None)
            good &= pair(f"{arch} {mode}, batch {batch}", bench(args, arch, batch, mode, size=size), peer, args, results)
    folder = os.path.join(args.work, "masked")
    if not os.path.isdir(folder):
        draw_masked(folder + ".part", 16, size)
        os.rename(folder + ".part", folder)
    for head in ("deeplabv3", "fcn"):
        good &= compare_segment_head(args, results, head, folder, size, batch)
    return good


def compare_segment_head(args, results, head, folder, size, batch):
    """A head alone over epochs, as whole programs: libtl computes the trunk's features once."""
    arch, good, ini = f"{head}_resnet50", True, os.path.join(args.work, f"segment-{head}.ini")
    with open(ini, "w") as file:
        file.write(f"[device]\ndevice = cpu\nthreads = {args.threads}\n[data]\ntrain = {folder}\nbatch = {batch}\nresize = none\n"
                   f"crop = {size}\ncache = memory\n[model]\narch = resnet50\nweights = random\nhead = {head}\ndropout = 0\n"
                   f"classes = {CLASSES}\n[stage head]\nepochs = {args.epochs}\n")
    for best in (False, True):
        libtl = Side("libtl", [args.tl, "train", ini, "-o", os.path.join(args.work, "run"), "--force", "-q"], whole=True)
        command = [sys.executable, os.path.abspath(__file__), "--worker", "segment_job", "--arch", arch, "--batch", str(batch), "--task",
                   "head", "--threads", str(args.threads), "--epochs", str(args.epochs), "--data", folder] + (["--best"] if best else [])
        peer = Side("PyTorch, best" if best else "PyTorch", command, KEEP_MEMORY if best else None, whole=True)
        good &= pair(f"{arch} head, {args.epochs} epochs of 16 images", libtl, peer, args, results)
    return good


def compare_job(args, results):
    folder = os.path.join(args.work, "images")
    if not os.path.isdir(folder):
        draw_images(folder + ".part", 128)
        os.rename(folder + ".part", folder)
    good = True
    for bn in ("eval", "batch"):
        ini = os.path.join(args.work, f"job-{bn}.ini")
        with open(ini, "w") as file:
            file.write(f"[device]\ndevice = cpu\nthreads = {args.threads}\n[data]\ntrain = {folder}\n[model]\narch = resnet50\n"
                       f"weights = random\nbn = {bn}\n[stage head]\nepochs = {args.epochs}\n")
        libtl = Side("libtl", [args.tl, "train", ini, "-o", os.path.join(args.work, "run"), "--force", "-q"], whole=True)
        peer = Side("PyTorch", [sys.executable, os.path.abspath(__file__), "--worker", "job", "--arch", "resnet50", "--batch", "32",
                                "--threads", str(args.threads), "--epochs", str(args.epochs), "--data", folder], whole=True)
        good &= pair(f"the whole job, bn = {bn}, {args.epochs} epochs", libtl, peer, args, results)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("cases", nargs="*", metavar="CASE", help="forward, bf16, train, segment, job; without any, all of them")
    add("--tl", default="tl", help="the program (default: the one in PATH)")
    add("--rounds", type=int, default=3, help="pairs (default: 3)")
    add("--seconds", type=float, default=5, help="how long a peer repeats its step (default: 5; tl bench takes 3)")
    add("--threads", type=int, default=len(os.sched_getaffinity(0)), help="of every program (default: what this process may use)")
    add("--epochs", type=int, default=10, help="of the whole job (default: 10)")
    add("--work", default=os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "libtl", "peers-work"),
        help="a folder for networks, images and results (default: %(default)s)")
    add("--json", metavar="FILE", help="all the figures, too")
    for name, kind in (("worker", str), ("arch", str), ("batch", int), ("task", str), ("precision", str), ("onnx", str), ("data", str)):
        add("--" + name, type=kind, help=argparse.SUPPRESS)
    add("--size", type=int, default=224, help=argparse.SUPPRESS)
    add("--best", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        {"torch": measure_torch, "onnxruntime": measure_onnxruntime, "openvino": measure_openvino, "export": export, "job": job,
         "segment_job": segment_job}[args.worker](args)
        return 0
    cases = {"forward": lambda results: compare_forward(args, results, "fp32"), "bf16": lambda results: compare_forward(args, results, "bf16"),
             "train": lambda results: compare_train(args, results), "segment": lambda results: compare_segment(args, results),
             "job": lambda results: compare_job(args, results)}
    for case in args.cases:
        if case not in cases:
            parser.error(f"{case} is none of {', '.join(cases)}")
    os.makedirs(args.work, exist_ok=True)
    results, good = [], True
    for case in args.cases or cases:
        good &= cases[case](results)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(results, file, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
