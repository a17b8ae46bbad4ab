"""`srlib enlarge PHOTO ...`: enlarge photos of any size four times by a trained network."""

import argparse
import pathlib

from PIL import Image

from .. import datasets, inference, photos, pretrained, runtime


def main(arguments):
    parser = argparse.ArgumentParser(prog="srlib enlarge", description=__doc__)
    parser.add_argument("photo", nargs="+", help="image files, or folders of them")
    parser.add_argument("-o", "--output", help="the file, or a folder for several (default: NAME-x4.png beside each)")
    parser.add_argument(
        "--model", default="facesr-gan", help=f"{', '.join(pretrained.names())}, or a training of yours"
    )
    parser.add_argument("--face", action="store_true", help="find the faces, and enlarge each alone")
    options = parser.parse_args(arguments)
    pretrained.path_of(options.model)  # an unknown one is said before anything is read
    files = []
    for name in map(pathlib.Path, options.photo):
        files += datasets.photo_files(name)[0] if name.is_dir() else [name]
    done, failed = 0, 0
    for file in files:
        try:
            photo = photos.read_image(file)
            parts = [photo[y0:y1, x0:x1] for x0, y0, x1, y1 in photos.find_faces(photo)] if options.face else [photo]
            if not parts:
                raise ValueError(
                    f"no face was found in {file}: it has to look at the camera; without --face, all is enlarged"
                )
            for number, part in enumerate(parts, start=1):
                end = f"-face{number}-x4.png" if options.face else "-x4.png"
                target = target_of(file, end, options.output, len(files) * len(parts) > 1)
                inference.enlarge(part, options.model, save=target)
                runtime.say(f"{file} ({part.shape[1]}x{part.shape[0]}) -> {target}")
                done += 1
        except (OSError, ValueError) as error:  # the others may be possible
            failed += 1
            runtime.say(str(error))
    runtime.say(f"{done} enlarged by {options.model}" + (f", {failed} not" if failed else ""))
    return int(bool(failed))


def target_of(file, end, output, several):
    """Where the result of a file goes; raises `FileExistsError` rather than overwrite."""
    target = file.with_name(file.stem + end)
    if output and (several or pathlib.Path(output).is_dir() or output.endswith(("/", "\\"))):
        target = runtime.make_folder(output) / target.name
    elif output:
        target = pathlib.Path(output).expanduser()
        if target.suffix.lower() not in Image.registered_extensions():
            raise ValueError(f"{target} has no suffix of an image file; name it, for example, {target.name}.png")
    if target.exists():
        raise FileExistsError(f"{target} exists already; remove it, or name another one with -o")
    return target
