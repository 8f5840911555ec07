"""phconvert on a Photon-HDF5 file, which is argument 1: checks it strictly, prints what it reads as JSON."""

import json
import sys
import warnings

from phconvert import hdf5

warnings.simplefilter("error")
path = sys.argv[1]
hdf5.assert_valid_photon_hdf5(
    path, warnings=False, strict_description=True, skip_measurement_specs=True, require_rootformat=True
)
warnings.simplefilter("ignore")  # a file of tags has no measurement_specs, which are optional
h5file = hdf5.load_photon_hdf5(path)
spot = h5file.root.photon_data
json.dump(
    {
        "timestamps": spot.timestamps.read().tolist(),
        "detectors": spot.detectors.read().tolist(),
        "unit_s": float(spot.timestamps_specs.timestamps_unit.read()),
        "ids": h5file.root.setup.detectors.id.read().tolist(),
        "counts": h5file.root.setup.detectors.counts.read().tolist(),
        "duration_s": float(h5file.root.acquisition_duration.read()),
        "original": h5file.root.provenance.filename.read().decode(),
    },
    sys.stdout,
)
h5file.close()
