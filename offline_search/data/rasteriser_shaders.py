# SPDX-License-Identifier: Apache-2.0
"""What the rasteriser runs on the GPU, in GLSL 3.30: the terms of `shading`, pixel by pixel."""

from __future__ import annotations

from typing import Final

#: How many lamps a scene may have, and how many points of them that cast shadows.
MOST_LAMPS: Final = 8
MOST_TILES: Final = 32

_PLACE: Final = """
#version 330
uniform mat4 T_camera_mesh;
uniform mat4 to_clip;
in vec3 position;
"""

#: Depths as a light sees them, and as the camera does: geometry alone.
DEPTH_VERTEX: Final = (
    _PLACE
    + """
out float z;
void main() {
    vec4 point = T_camera_mesh * vec4(position, 1.0);
    z = point.z;
    gl_Position = to_clip * point;
}
"""
)
SHADOW_FRAGMENT: Final = """
#version 330
void main() {}
"""
CENTRE_FRAGMENT: Final = """
#version 330
uniform float number;
in float z;
out vec2 number_and_depth;
void main() { number_and_depth = vec2(number, z); }
"""

COLOR_VERTEX: Final = (
    _PLACE
    + """
in vec3 normal;
in float openness;
in vec3 look;
out vec3 seen_at;
out vec3 seen_normal;
out float seen_openness;
out vec3 seen_look;
void main() {
    vec4 point = T_camera_mesh * vec4(position, 1.0);
    seen_at = point.xyz;
    seen_normal = mat3(T_camera_mesh) * normal;
    seen_openness = openness;
    seen_look = look;
    gl_Position = to_clip * point;
}
"""
)

COLOR_FRAGMENT: Final = (
    f"""
#version 330
const int MOST_LAMPS = {MOST_LAMPS};
const int MOST_TILES = {MOST_TILES};
"""
    + """
const float PI = 3.14159265;
in vec3 seen_at;
in vec3 seen_normal;
in float seen_openness;
in vec3 seen_look;
out vec4 color;

uniform bool textured;
uniform sampler2D surface;  // linear light
uniform vec3 tint;
uniform float contrast;
uniform float specular;
uniform float sharpness;
uniform float metallic;

uniform vec3 irradiance[9];
uniform mat3 R_world_camera;
uniform bool mirrored;
uniform sampler2D panorama;  // blurred as the surface is rough

uniform int lamps;
uniform vec3 lamp_direction[MOST_LAMPS];
uniform vec3 lamp_color[MOST_LAMPS];
uniform int first_tile[MOST_LAMPS];
uniform int tiles[MOST_LAMPS];  // 0: it casts no shadow
uniform mat4 to_tile[MOST_TILES];  // camera frame -> place in the tile and depth, 0 to 1
uniform float all_tiles;
uniform float lift;  // m, off the surface, against shadows of itself
uniform sampler2DShadow shadows;

vec3 around(vec3 n) {
    vec3 w = R_world_camera * n;
    vec3 sum = irradiance[0] * 0.282095
        + 0.488603 * (irradiance[1] * w.y + irradiance[2] * w.z + irradiance[3] * w.x)
        + 1.092548 * (irradiance[4] * w.x * w.y + irradiance[5] * w.y * w.z
                      + irradiance[7] * w.x * w.z)
        + irradiance[6] * 0.315392 * (3.0 * w.z * w.z - 1.0)
        + irradiance[8] * 0.546274 * (w.x * w.x - w.y * w.y);
    return max(sum, 0.0);
}

vec3 mirror_image(vec3 direction) {
    vec3 w = R_world_camera * direction;
    vec2 place = vec2(atan(w.y, w.x) / (2.0 * PI), acos(clamp(w.z, -1.0, 1.0)) / PI);
    return texture(panorama, place).rgb;
}

float reached(int lamp, vec3 point) {
    if (tiles[lamp] == 0) return 1.0;
    float share = 0.0;
    for (int i = 0; i < tiles[lamp]; i++) {
        int tile = first_tile[lamp] + i;
        vec3 place = (to_tile[tile] * vec4(point, 1.0)).xyz;
        place.x = (place.x + float(tile)) / all_tiles;
        share += textureLod(shadows, place, 0.0);
    }
    return share / float(tiles[lamp]);
}

void main() {
    vec3 albedo = textured ? texture(surface, seen_look.xy).rgb : seen_look;
    albedo = min(pow(max(albedo, 0.0), vec3(contrast)) * tint, 1.0);
    vec3 eye = -normalize(seen_at);
    vec3 n = normalize(seen_normal);
    if (dot(n, eye) < 0.0) n = -n;
    vec3 light = around(n) * seen_openness;
    vec3 highlight = vec3(0.0);
    float exponent = exp2(sharpness);
    for (int i = 0; i < lamps; i++) {
        float facing = max(dot(n, lamp_direction[i]), 0.0);
        if (facing > 0.0) facing *= reached(i, seen_at + n * lift);
        light += facing * lamp_color[i];
        vec3 half_way = normalize(eye + lamp_direction[i]);
        float shine = pow(max(dot(n, half_way), 0.0), exponent);
        highlight += (exponent + 8.0) / 8.0 * shine * facing * lamp_color[i];
    }
    vec3 sent = albedo * light;
    if (specular > 0.0) {
        sent *= 1.0 - metallic;
        float cosine = clamp(dot(n, eye), 0.0, 1.0);
        vec3 straight = specular * (1.0 - metallic) + metallic * albedo;
        float grazing = min(1.0, exp2(sharpness - 8.0));
        vec3 rise = max(grazing - straight, 0.0) * pow(1.0 - cosine, 5.0);
        if (mirrored) highlight += mirror_image(2.0 * cosine * n - eye) * seen_openness;
        sent += (straight + rise) * highlight;
    }
    vec3 over = max(sent - 0.8, 0.0);
    color = vec4(sqrt(max(min(sent, 0.8) + over / (1.0 + over * 5.0), 0.0)), 1.0);
}
"""
)
