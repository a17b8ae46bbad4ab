"""`srlib enlarge PHOTO ...`: enlarge photos of any size four times by a trained network."""

import pathlib

from .. import datasets, inference, photos, pretrained, runtime

OPTIONS = {
    "photo": {"nargs": "+", "type": pathlib.Path, "help": "image files, or folders of them"},
    "-o --output": {"type": pathlib.Path, "help": "OUT.png, or a folder (default: beside each photo)"},
    "--model": {"default": "facesr-gan", "help": f"{', '.join(pretrained.names())}, or a training of yours"},
    "--face": {"action": "store_true", "help": "find the faces, and enlarge each alone"},
}


def main(photo, output, model, face):
    pretrained.path_of(model)  # an unknown one is said before anything is read
    failed = 0
    for path in photo:
        files, _, note = datasets.photo_files(path) if path.is_dir() else ([path], [], "")
        if path.is_dir():
            runtime.say(f"{path}: {len(files):,} photos{note}")
        for file in files:
            try:
                enlarge(file, output or file.parent, model, face)
            except (OSError, ValueError) as error:  # the others may be possible
                failed += 1
                runtime.say(str(error))
    if failed:
        raise ValueError(f"{failed} not enlarged")


def enlarge(file, output, model, face):
    """Enlarge a photo, or the faces in it, into a folder, or into the one file that `output` names.

    Raises `FileExistsError` rather than overwrite, and `ValueError` where no face is found.
    """
    photo = photos.read_image(file)
    parts = [photo[y0:y1, x0:x1] for x0, y0, x1, y1 in photos.find_faces(photo)] if face else [photo]
    if not parts:
        raise ValueError(f"no face was found in {file}: it has to look at the camera; without --face, all is enlarged")
    for number, part in enumerate(parts, start=1):
        target = output.expanduser()
        if target.is_dir() or not target.suffix:
            target = runtime.make_folder(target) / f"{file.stem}{f'-face{number}' if face else ''}-x4.png"
        if target.exists():
            raise FileExistsError(f"{target} exists already; remove it, or name another one with -o")
        inference.enlarge(part, model, save=target)
        runtime.say(f"{file} ({part.shape[1]}x{part.shape[0]}) -> {target}")
