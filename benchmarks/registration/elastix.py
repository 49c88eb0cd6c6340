"""itk-elastix on the pair in a folder, with the settings of ``cost.py``; run by an interpreter that has it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import itk  # type: ignore[import-not-found, import-untyped, unused-ignore]
import numpy as np


def main() -> None:
    pair = np.load(Path(sys.argv[1]) / "pair.npz")
    fixed, moving = (itk.image_view_from_array(np.ascontiguousarray(pair[name])) for name in ("fixed", "moving"))
    parameters = itk.ParameterObject.New()
    rigid = parameters.GetDefaultParameterMap("rigid", 3)
    rigid["NumberOfHistogramBins"] = ["32"]
    rigid["AutomaticTransformInitialization"] = ["false"]
    rigid["WriteResultImage"] = ["false"]
    parameters.AddParameterMap(rigid)
    method = itk.ElastixRegistrationMethod.New(fixed, moving)
    method.SetParameterObject(parameters)
    method.SetNumberOfThreads(1)
    method.SetLogToConsole(False)
    begun = time.process_time()
    method.Update()
    spent = time.process_time() - begun
    found = method.GetTransformParameterObject().GetParameterMap(0)
    angles = np.array([float(one) for one in found["TransformParameters"]])
    centre = np.array([float(one) for one in found["CenterOfRotationPoint"]])
    turn = itk.Euler3DTransform[itk.D].New()
    turn.SetComputeZYX(found["ComputeZYX"][0] == "true")
    turn.SetCenter(centre.tolist())
    turn.SetParameters(itk.OptimizerParameters[itk.D](angles.tolist()))
    linear = itk.array_from_matrix(turn.GetMatrix())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = centre + angles[3:] - linear @ centre
    print(json.dumps({"cpu_s": spent, "matrix": matrix.tolist()}))


if __name__ == "__main__":
    main()
