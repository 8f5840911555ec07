graph [
  node [ id 1 label "east" memories 7 relays 0 decay_hz 0.1 decay_hz 0.2 decay_hz 0.3 ]
  node [ id 2 label "middle" swap_s 2.0e-5 ]
  node [ id 3 ]
  edge [ source 1 target 2 length_km 10 success_probability 0.05 attempt_s 1.0e-4 ]
  edge [ source 2 target 3 length_km 12.5 attenuation_length_km 22.0 ]
]
